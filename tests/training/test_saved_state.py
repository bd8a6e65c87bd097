"""A training that was ended at any step and goes on from its last saved state: the same bits as one that never was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import cell, choice, context, published_cell, timeless
from test_when import images, texts
from torch import nn

from dtcbench import registry
from dtcbench.plan.protocol import Standard
from dtcbench.registry import Entry
from dtcbench.training import protocols, saved_state, tensors
from dtcbench.training.protocols import trained


class Killed(BaseException):
    """The process is gone."""


def recipe(**options):
    shared = {"steps": 40, "batch_size": 32, "lr": 0.01, "cycle_steps": 5, "keep": 0.8}
    return Standard(name="standard", **{**shared, **options}).choice


def arm(method, model="mlp", sparsity=0.5, options=None, **of_method):
    models = {
        "mlp": choice(registry.models, "mlp", widths=[32]),
        "resnet-20": choice(registry.models, "resnet-20", width=4),
        "gpt-nano": choice(registry.models, "gpt-nano", depth=1, heads=2, width=8),
    }
    return replace(
        cell(method, sparsity),
        protocol=recipe(**(options or {})),
        model=models.get(model) or choice(registry.models, model),
        method=choice(registry.methods, method, **of_method),
    )


CELLS = {
    "dtc coupled, momentum, cosine, crops": lambda: (
        arm(
            "dtc",
            "resnet-20",
            options={"optimizer": "sgd", "schedule": "cosine", "augment": "crop-flip", "steps": 20},
            groups="coupled",
        ),
        images(),
    ),
    "dtc coupled, attention, clip, decay": lambda: (
        arm(
            "dtc",
            "gpt-nano",
            options={"optimizer": "adamw", "clip": 0.5, "weight_decay_of": "matrices", "weight_decay": 0.1},
            groups="coupled",
        ),
        texts(),
    ),
    "dtc, bf16, accumulate, warmup": lambda: (
        arm("dtc", options={"precision": "bf16", "accumulate": 4, "warmup": 12, "schedule": "cosine"}),
        None,
    ),
    "dropout": lambda: (arm("magnitude", "with-dropout"), None),
    "taylor with momentum": lambda: (arm("taylor", momentum=0.5), None),
    "slimming, penalty": lambda: (arm("slimming", "resnet-20", options={"steps": 20}), images()),
    "global-magnitude, rewind": lambda: (
        arm("global-magnitude", options={"schedule": "cosine", "warmup": 8, "steps": 45}, when="rewind"),
        None,
    ),
    "random, another stream": lambda: (arm("random", stream=3), None),
    "scratch": lambda: (arm("scratch"), None),
    "dense": lambda: (arm("dense", sparsity=0.0), None),
    "published": lambda: (published_cell("dtc-published", "digits", (64,), cycle_steps=5, batch_size=64), None),
}


@pytest.fixture(autouse=True)
def _with_dropout(monkeypatch):
    def with_dropout(shape, classes, *, generator):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, classes))

    monkeypatch.setitem(registry.models._entries, "with-dropout", Entry(with_dropout, 1, None))


def steps_until(monkeypatch, last):
    """Every step counts; the one after `last` ends the process. The counter."""
    taken = [0]

    def counting(step):
        def counted(batch):
            if taken[0] == last:
                raise Killed
            taken[0] += 1
            return step(batch)

        return counted

    real_step, real_published = protocols.step_of, protocols.WrittenOutStep
    monkeypatch.setattr(protocols, "step_of", lambda *given: counting(real_step(*given)))
    monkeypatch.setattr(protocols, "WrittenOutStep", lambda *given: counting(real_published(*given)))
    return taken


def going_on(planned, splits, files):
    work = context(planned, splits)
    return replace(work, saved=saved_state.read(files[-1])) if files else work


class Often:
    """Saves once it was asked so often."""

    def __init__(self, files, steps):
        self.files, self.steps, self.asked = files, steps, 0

    def is_due(self):
        self.asked += 1
        return self.asked >= self.steps

    def save(self, state):
        self.asked = 0
        self.files.append(saved_state.written(state))


def outcome(work):
    result, compressor = trained(work)
    return timeless(result), tensors.sha256(compressor.model.state_dict()), list(map(repr, work.evaluated))


@pytest.mark.parametrize("name", CELLS)
def test_ended_at_any_step_it_goes_on_to_the_same_bits(monkeypatch, name):
    planned, splits = CELLS[name]()
    with monkeypatch.context() as patch:
        taken = steps_until(patch, None)
        whole = outcome(context(planned, splits))
    moments = sorted(np.random.default_rng(len(name)).choice(taken[0], size=4, replace=False).tolist())
    files = []
    for moment in moments:
        work = going_on(planned, splits, files)
        steps = work.saved["steps"] if work.saved else 0
        with monkeypatch.context() as patch:
            steps_until(patch, moment - steps)
            with pytest.raises(Killed):
                trained(replace(work, saving=Often(files, 3)))
        # The next process knows nothing but the file, and its generators are anywhere.
        torch.manual_seed(moment)
        np.random.seed(moment)  # noqa: NPY002 - the global generator is the point
    assert files
    assert outcome(going_on(planned, splits, files)) == whole
