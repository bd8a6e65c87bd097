"""The claims about protocols hold for a sound one, and can fail."""

import itertools
import re

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from dtcbench.registry import register_protocol
from dtcbench.selftest.checking import Contradicted
from dtcbench.selftest.protocol_checks import checks
from dtcbench.training.recipe import Recipe

CALLS = itertools.count()


def sound(model, steps, *, lr: float = 0.1):
    optimizer = SGD(model.parameters(), lr=lr, momentum=0.9)
    return Recipe(optimizer, OneCycleLR(optimizer, lr, total_steps=steps) if steps > 1 else None)


def first_layer_only(model, steps):
    return Recipe(SGD(list(model.parameters())[:1], lr=0.1))


def below_zero_at_the_end(model, steps):
    optimizer = SGD(model.parameters(), lr=0.1)
    return Recipe(optimizer, LambdaLR(optimizer, lambda step: 1 - 1.2 * step / steps))


def ends_early(model, steps):
    optimizer = SGD(model.parameters(), lr=0.1)
    return Recipe(optimizer, OneCycleLR(optimizer, 0.1, total_steps=max(2, steps // 2)))


def uphill(model, steps):
    return Recipe(SGD(model.parameters(), lr=0.01, maximize=True))


def standing_still(model, steps):
    return Recipe(SGD(model.parameters(), lr=0.0))


def counting(model, steps):
    return Recipe(SGD(model.parameters(), lr=0.05 + 0.001 * next(CALLS)))


def no_recipe(model, steps):
    return torch.optim.Adam(model.parameters())


def test_a_sound_protocol_keeps_every_claim():
    register_protocol("tried")(sound)
    for check in checks("tried"):
        check.run()


@pytest.mark.parametrize(
    ("protocol", "claim", "seen"),
    [
        (first_layer_only, "trains every parameter", "output.weight"),
        (below_zero_at_the_end, "learning rates are finite and not negative", "at step 51 of 60"),
        (ends_early, "learning rates are finite and not negative", "Tried to step"),
        (uphill, "the dense network learns", "cross-entropy"),
        (standing_still, "the dense network learns", "cross-entropy"),
        (counting, "twice, has the same bits", "keep nothing from one training to the next"),
        (no_recipe, "trains every parameter", "protocol 'tried' gives a Adam; return Recipe("),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_claim_that_is_not_kept_is_contradicted(protocol, claim, seen):
    register_protocol("tried")(protocol)
    [check] = [check for check in checks("tried") if claim in check.claim]
    with pytest.raises((Contradicted, ValueError), match=re.escape(seen)):
        check.run()
