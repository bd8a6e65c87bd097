"""The claims about every model, tried with its default options on the first input that it takes.

A model of a library has an example of options for this, and makes no claim where the library is not installed.
"""

from __future__ import annotations

from functools import cached_property, partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dtcbench import registry
from dtcbench.errors import CompressionError, UserError
from dtcbench.models.packages import package_of
from dtcbench.models.shapes import TYPICAL, fixed_of
from dtcbench.plan.cell import Choice
from dtcbench.selftest.checking import Check, Contradicted
from dtcbench.training.determinism import seeded_globals
from dtcbench.training.flops import inference_flops, training_flops
from dtcbench.training.network import build, draw_anew
from dtcbench.training.surgery import Surgery

_CLASSES = 10
_BATCH = 4


def checks(name: str) -> list[Check]:
    """The claims about the model registered as `name`."""
    subject = _ModelUnderTest(name)
    given = "its weights are fixed" if subject.fixed.weights else ""
    claims = {
        "equal generators give equal weights, others give others": (_generators_decide, given),
        "its generator alone decides the weights": (_globals_do_not_decide, ""),
        "the logits are finite and one for each class": (_logits_fit, ""),
        "a gradient reaches every trainable parameter": (_gradients_arrive, ""),
        "a sample's logits do not depend on the rest of its batch in eval mode": (_samples_stand_alone, ""),
        "a copy by state_dict computes the same": (_state_is_all, ""),
        "its FLOPs can be counted": (_flops_count, ""),
        "a group cut smaller computes what it did with the neurons silenced": (_surgery_silences, ""),
        "all its parameters can be drawn anew": (_drawn_anew, given),
    }
    return [Check(claim, partial(run, subject), subject.missing or waived) for claim, (run, waived) in claims.items()]


class _ModelUnderTest:
    """The model under test, and an input that it takes."""

    def __init__(self, name: str) -> None:
        self.name = name
        library = package_of(registry.models.get(name))
        self._choice = Choice(name=name, options=dict(library.example) if library else {})
        self.missing = library.missing if library else ""
        """Why the model cannot be tried here; empty if it can."""
        self.fixed = fixed_of(registry.models.get(name))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The first input shape that the model can be built for."""
        refused = []
        for shape in [self.fixed.input_shape] if self.fixed.input_shape else TYPICAL:
            try:
                self._make(shape, 1, 1)
            except UserError as error:
                refused.append(f"{list(shape)}: {error}")
            else:
                return shape
        raise Contradicted(f"{self.name} takes none of the inputs tried; let it take one: {'; '.join(refused)}")

    def build(self, seed: int = 1, global_seed: int = 1) -> nn.Module:
        """The model, from a generator and a global generator seeded so."""
        return self._make(self.shape, seed, global_seed)

    def _make(self, shape: tuple[int, ...], seed: int, global_seed: int) -> nn.Module:
        with seeded_globals(global_seed):
            return build(self._choice, shape, _CLASSES, torch.Generator().manual_seed(seed))

    @property
    def batch(self) -> torch.Tensor:
        """Four different samples."""
        generator = torch.Generator().manual_seed(0)
        if len(self.shape) == 1:
            return torch.randint(_CLASSES, (_BATCH, *self.shape), generator=generator)
        return torch.randn(_BATCH, *self.shape, generator=generator)

    @property
    def blank(self) -> torch.Tensor:
        """A sample for tracing."""
        return torch.zeros_like(self.batch[:1])

    @property
    def logits_shape(self) -> tuple[int, ...]:
        """What the logits of the batch must be shaped as."""
        return (_BATCH, *self.shape, _CLASSES) if len(self.shape) == 1 else (_BATCH, _CLASSES)

    def logits(self, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """The logits of `x` in eval mode."""
        with torch.no_grad():
            out = model.eval()(x)
        if not isinstance(out, torch.Tensor):
            raise Contradicted(f"forward gave {type(out).__name__} and not a tensor; return the logits alone")
        return out


def _generators_decide(subject: _ModelUnderTest) -> None:
    first = subject.build()
    if differing := _differing(first, subject.build()):
        raise Contradicted(f"the same generator gave other values of {differing[0]}; draw from nothing but `generator`")
    if not _differing(first, subject.build(seed=2)):
        raise Contradicted("another generator gave the same weights; draw them from `generator`")


def _globals_do_not_decide(subject: _ModelUnderTest) -> None:
    if differing := _differing(subject.build(), subject.build(global_seed=2)):
        raise Contradicted(
            f"torch's global generator changed {differing[0]}; initialise every parameter by "
            "torch.nn.init.…(parameter, …, generator=generator)"
        )


def _differing(one: nn.Module, other: nn.Module) -> list[str]:
    """The names of the parameters and buffers whose values differ."""
    others = other.state_dict()
    return [name for name, value in one.state_dict().items() if not torch.equal(value, others[name])]


def _logits_fit(subject: _ModelUnderTest) -> None:
    out = subject.logits(subject.build(), subject.batch)
    if out.shape != subject.logits_shape:
        raise Contradicted(
            f"a batch {list(subject.batch.shape)} gave logits {list(out.shape)}, not {list(subject.logits_shape)}; "
            "return one logit per class"
        )
    if not out.isfinite().all():
        raise Contradicted("fresh weights gave NaN or infinite logits; initialise every parameter")


def _gradients_arrive(subject: _ModelUnderTest) -> None:
    model = subject.build().train()
    logits = model(subject.batch).flatten(0, -2)
    functional.cross_entropy(logits, torch.arange(len(logits)) % _CLASSES).backward()
    trainable = [(name, parameter.grad) for name, parameter in model.named_parameters() if parameter.requires_grad]
    missed = [name for name, gradient in trainable if gradient is None or not gradient.isfinite().all()]
    if missed or not trainable:
        raise Contradicted(
            f"no finite gradient reached {missed[0] if missed else 'any parameter'}; use every parameter in forward, "
            "and freeze the others by requires_grad_(False)"
        )


def _samples_stand_alone(subject: _ModelUnderTest) -> None:
    model, x = subject.build(), subject.batch
    together, alone = subject.logits(model, x), torch.cat([subject.logits(model, sample) for sample in x.split(1)])
    if not _close(alone, together):
        raise Contradicted(
            f"alone, a sample's logits differ by up to {(alone - together).abs().max():.3g}; "
            "take no statistics over the batch in eval mode"
        )


def _state_is_all(subject: _ModelUnderTest) -> None:
    first, other, x = subject.build(), subject.build(seed=2), subject.batch
    first.train()(x)  # running statistics move
    other.load_state_dict(first.state_dict())
    if not _close(subject.logits(other, x), subject.logits(first, x)):
        raise Contradicted("the copy gave other logits; keep all that forward uses as parameters and buffers")


def _close(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(actual, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def _flops_count(subject: _ModelUnderTest) -> None:
    if min(count(subject.build(), subject.blank) for count in (training_flops, inference_flops)) <= 0:
        raise Contradicted("torch counted no FLOPs; make the model of torch's own layers and products")


def _surgery_silences(subject: _ModelUnderTest) -> None:
    model, silenced = subject.build(), subject.build()
    surgery, oracle = (Surgery(network, subject.blank, "coupled") for network in (model, silenced))
    if not surgery.groups:
        refused = "".join(f"; group {name}: {why}" for name, why in surgery.refused.items())
        raise Contradicted(f"it has no prunable group{refused}; compute hidden widths by layers that others read")
    pairs = list(zip(surgery.groups, oracle.groups, strict=True))
    for group, same in [*pairs, pairs[0]]:  # a second cut must fit what the first one left
        if group.width < 2:
            continue
        kept = np.arange(1, group.width)
        same.silence(np.arange(1))
        surgery.shrink(group, kept, None)
        seen, expected = (subject.logits(network, subject.batch) for network in (model, silenced))
        if not _close(seen, expected):
            raise Contradicted(
                f"without its first neuron, group {group.name} gives other logits than with it silenced, by "
                f"{(seen - expected).abs().max():.3g}; compute nothing from a width but what its layers compute"
            )
        oracle.shrink(same, kept, None)


def _drawn_anew(subject: _ModelUnderTest) -> None:
    try:
        draw_anew(subject.build(), seed=0)
    except CompressionError as error:
        raise Contradicted(str(error)) from error
