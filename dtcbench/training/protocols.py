"""The two trainings: the fair one, of `standard` and plug-ins' protocols, and `published`, the notebook's bit for bit.

See docs/design.md, Protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dtcbench.cycles import Cycles
from dtcbench.datasets.splits import Splits
from dtcbench.errors import CompressionError
from dtcbench.hits import packed
from dtcbench.plan.cell import Cell
from dtcbench.plan.protocol import InCycles, Published, from_choice
from dtcbench.record import Layer, Result
from dtcbench.training.boards import require_no_dropout, require_no_running_statistics
from dtcbench.training.compressor import Compressor
from dtcbench.training.determinism import seeded_globals
from dtcbench.training.flops import compressed_flops, steps_for, training_flops
from dtcbench.training.loop import (
    AnySamples,
    Samples,
    Selection,
    ShuffledBatches,
    Step,
    Stored,
    accuracy,
    bits_per_token,
    cross_entropy,
    hold_out,
    mean_batch_accuracy,
    predicted,
    r2,
    share,
)
from dtcbench.training.network import draw_anew
from dtcbench.training.recipe import Recipe, augmentation, recipe_of, samples_at_once, step_of
from dtcbench.training.training_run import CellContext, TrainingRun, start
from dtcbench.training.written_out import WrittenOutStep, linear_layers
from dtcbench.unavailable import Unavailable

_NOT_COMPRESSED = Unavailable("nothing is removed while training")
_NO_TEXT = Unavailable("the dataset holds no text")
_NO_CHARACTERS = Unavailable("the text's tokens are not characters")
_NO_CLASSES = Unavailable("a regression predicts values, which are not right or wrong: it has R2")
_OF_REGRESSION = Unavailable("R2 is of a regression")
_TOKENS = Unavailable("a text is not right or wrong as a whole: its tokens are predicted one by one")
_NOT_DUE = Unavailable("nothing was due to be removed")
_NO_VALIDATION = Unavailable("protocol published holds out no validation split")
_AFTER_ONLY = Unavailable("protocol published evaluates after each compression only")


def run(context: CellContext) -> Result:
    """Train the cell by its protocol.

    CompressionError if it cannot be computed; NonFiniteError, which is one, if it diverged.
    """
    return trained(context)[0]


def trained(context: CellContext) -> tuple[Result, Compressor]:
    """The same; with the compressor, which holds the final network."""
    protocol = from_choice(context.cell.protocol)
    with seeded_globals(context.cell.seed):
        run = start(context)
        result = run_published(run, protocol) if isinstance(protocol, Published) else run_in_cycles(run, protocol)
    return result, run.compressor


def run_in_cycles(run: TrainingRun, protocol: InCycles) -> Result:
    """Train and compress, by the geometric schedule or at once as the method's `when` says, then train the rest.

    All that compress share steps, batches, order and initial weights; the optimiser's state is carried over. Baselines
    that train other weights (`scratch`) or for other steps (a budget of FLOPs) say so in their methods. Every cell
    trains and validates in the same pieces, also those in which nothing is removed, so that measuring and evaluating
    cost the same for all.
    """
    context, cell, sparsity = run.context, run.context.cell, run.context.cell.sparsity or 0.0
    training, validation = hold_out(context.train.first(protocol.samples), protocol.validation, cell.seed)
    test, watched = context.test.first(protocol.samples), validation.first(protocol.course)
    _refuse_a_lonely_sample(run.model, len(training), protocol)
    if context.others:
        require_no_running_statistics(run.model)
        require_no_dropout(run.model)
    steps = _begin(run, protocol, training, sparsity)
    widths = run.compressor.original_widths
    removals = protocol.removals(sparsity, cell.when) if run.compressor.method.removal == "scored" else {}
    final, rewinds = max(removals, default=-1), cell.when == "rewind" and len(removals) > 0

    def penalty() -> torch.Tensor | None:
        return run.compressor.penalty() if len(run.cycles) <= final else None  # the rest fine-tunes without it

    if context.saved is not None:
        run.restore(context.saved)
    until_rewound = (final + 1) * protocol.cycle_steps
    if is_rewound := rewinds and len(run.cycles) > final:
        run.initial = None
    span = steps - until_rewound if is_rewound else until_rewound if rewinds else steps
    recipe, step, batches = _training(run, protocol, training, span, penalty)
    later = f"protocol {cell.protocol.name} looks at the test split at the last compression and at the end only"
    is_regression = context.splits.task == "regression"
    none = _NO_CLASSES if is_regression else _NOT_COMPRESSED
    for name in ("accuracy_before", "accuracy_after"):
        run.notes.setdefault(name, none)

    def score(samples: AnySamples) -> float | Unavailable:
        of = r2 if is_regression else accuracy
        return context.evaluate(lambda: of(run.model, samples))

    def train(count: int) -> float:
        if protocol.compile:
            run.compile(protocol, recipe, batches, count)
        return run.train(step, batches, count)

    if context.saved is not None:
        run.go_on(context.saved)
    for number in range(len(run.cycles), min(protocol.cycles_held, steps // protocol.cycle_steps)):
        due = (number + 1) * protocol.cycle_steps - run.steps  # fewer in a cycle that goes on
        loss = train(due)
        last = number == final
        layers: list[Layer] = []
        numbers: dict[str, Any] = {"validation_before": score(watched), "validation_after": _NOT_DUE}
        if last and not is_regression:
            run.notes["accuracy_before"] = score(test)
        if number in removals:
            counts = {name: round(width * removals[number]) for name, width in widths.items()}
            keep = protocol.kept_at_once(sparsity, cell.when)
            layers = run.compress(training, recipe.loss, counts=counts, keep=keep)
            numbers["validation_after"] = score(watched)
        if last and not is_regression:
            run.notes["accuracy_after"] = score(test)
        run.record_cycle(loss, layers, **numbers, test_before=Unavailable(later), test_after=Unavailable(later))
        if last and rewinds:
            run.rewind()
            recipe, step, batches = _training(run, protocol, training, steps - run.steps, penalty)
        run.save()
    if rest := steps - run.steps:
        train(rest)
    return run.result(
        **run.notes,
        **(_of_values if is_regression else _of_classes)(run, test),
        validation_accuracy=_NO_CLASSES if is_regression else score(validation),
    )


def _of_classes(run: TrainingRun, test: AnySamples) -> dict[str, Any]:
    """What the network is worth on test labels or next tokens."""
    context, is_text = run.context, run.context.splits.is_text
    bits: float | Unavailable = _NO_CHARACTERS if is_text else _NO_TEXT
    if context.splits.is_of_characters:
        bits = context.evaluate(lambda: bits_per_token(run.model, test))
    right = context.evaluate(lambda: predicted(run.model, test))
    return {
        "accuracy": share(right),
        "r2": _OF_REGRESSION,
        "target_scale": _OF_REGRESSION,
        "hits": _TOKENS if is_text else packed(right),
        "test_samples": _TOKENS if is_text else len(right),
        "bits_per_character": bits,
    }


def _of_values(run: TrainingRun, test: AnySamples) -> dict[str, Any]:
    """What the network is worth on the test values of a regression."""
    return {
        **dict.fromkeys(("accuracy", "hits", "test_samples"), _NO_CLASSES),
        "r2": run.context.evaluate(lambda: r2(run.model, test)),
        "target_scale": list(run.context.splits.target_scale),
        "bits_per_character": _NO_TEXT,
    }


def _begin(run: TrainingRun, protocol: Cycles, training: Selection, sparsity: float) -> int:
    """Make the network as small as the method begins with; the number of steps to train it."""
    compressor, example, steps = run.compressor, run.context.example, protocol.steps
    budget = None
    if compressor.method.budget == "retraining":
        steps = protocol.retraining(sparsity)
    if compressor.method.budget == "flops":
        budget = compressed_flops(run.model, example, protocol, run.context.cell, len(training))
    if compressor.method.removal == "start":
        widths = compressor.original_widths
        compressor.cut({name: torch.arange(round(width * (1 - sparsity))).numpy() for name, width in widths.items()})
        draw_anew(run.model, run.context.cell.seed)
    if compressor.method.budget == "joules":
        steps = run.context.allowed_steps
    if budget is not None:
        steps = steps_for(budget, run.flops(training_flops), len(training), protocol.batch_size)
    return steps


def _training(
    run: TrainingRun,
    protocol: InCycles,
    training: Selection,
    steps: int,
    penalty: Callable[[], torch.Tensor | None],
) -> tuple[Recipe, Step, ShuffledBatches]:
    """A training of so many steps from its beginning: a new optimiser and learning rate, and the first batches."""
    recipe = recipe_of(run.model, protocol, steps)
    run.compressor.optimizer = recipe.optimizer
    augment = augmentation(protocol, run.context.splits)
    batches = ShuffledBatches(training, protocol.batch_size, run.context.stream_seed, augment)
    run.parts = {"recipe": recipe, "batches": batches}
    forward = run.context.compiled if protocol.compile else nn.Module.__call__
    return recipe, step_of(run.model, protocol, recipe, run.context.others, penalty, forward), batches


def _refuse_a_lonely_sample(model: nn.Module, samples: int, protocol: Cycles) -> None:
    # Batch norm has no statistics of one sample.
    is_alone = samples % samples_at_once(protocol) == 1
    if is_alone and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        parts = f" and accumulate {protocol.accumulate}" if protocol.accumulate > 1 else ""
        raise CompressionError(
            f"the last batch of {samples} training samples has one sample at batch_size {protocol.batch_size}{parts}, "
            "which batch norm cannot take; change batch_size or validation"
        )


def run_published(run: TrainingRun, protocol: Published) -> Result:
    """The notebook's recipe (arXiv 2505.23869, supplement code).

    Every cycle trains from batch 0 with a new Adam, compresses and tests, while the width is above `stop_width`. Dense
    trains and tests as many cycles as its width would have taken. The operations are the notebook's, in the notebook's
    order: another order changes the bits.
    """
    context = run.context
    if run.compressor.penalty() is not None:
        raise CompressionError("protocol published trains by its own loss, without a penalty; use protocol standard")
    is_dense = run.compressor.method.removal == "never"
    layers_to_train = linear_layers(run.model)
    _draw_weights(layers_to_train, context.cell.seed)
    run.model = _ending_as_published(run.model)
    cycles_of_dense = protocol.cycles(_widest(run))
    if cycles_of_dense == 0:
        raise CompressionError(
            f"no group is wider than {protocol.stop_width}, so no cycle runs; widen the model or lower stop_width"
        )
    if context.saved is not None:
        run.restore(context.saved)
        run.go_on(context.saved)
    right, tested = np.zeros(0, dtype=np.bool_), 0.0
    while len(run.cycles) < cycles_of_dense if is_dense else _widest(run) > protocol.stop_width:
        if run.cycles:
            run.save()  # not after the last cycle, whose hits belong to the result
        # A new Adam every cycle, as published; the layers are the same objects throughout.
        step = WrittenOutStep(layers_to_train, protocol.batch_size, protocol.lr)
        batches = islice(_endless(context.train, protocol.batch_size), protocol.cycle_steps)
        loss = run.train(step, batches, protocol.cycle_steps)
        keep = {group.name: protocol.keep for group in run.compressor.groups if group.width > protocol.stop_width}
        layers = [] if is_dense else run.compress(context.train, _published_loss, keep=keep)
        right = context.evaluate(lambda: predicted(run.model, context.test, protocol.batch_size))
        tested = mean_batch_accuracy(right, protocol.batch_size)
        run.record_cycle(
            loss,
            layers,
            validation_before=_NO_VALIDATION,
            validation_after=_NO_VALIDATION,
            test_before=_AFTER_ONLY,
            test_after=tested,
        )
    return run.result(
        accuracy=tested,
        r2=_OF_REGRESSION,
        target_scale=_OF_REGRESSION,
        hits=packed(right),
        test_samples=len(right),
        accuracy_before=_AFTER_ONLY,
        accuracy_after=_NOT_COMPRESSED if is_dense else tested,
        validation_accuracy=_NO_VALIDATION,
        bits_per_character=_NO_TEXT,
    )


def _endless(samples: AnySamples, size: int) -> Iterator[Samples]:
    while True:
        yield from samples.batches(size)


def tested(cell: Cell, network: nn.Module, splits: Splits, test: Samples | Stored) -> dict[str, Any]:
    """The fields of a `Result` that the cell's final network alone decides: its accuracy, and what belongs to it, or
    its R2, None if there is none.

    Parameters
    ----------
    test : the test samples of `splits`, for the network's device
    """
    protocol = from_choice(cell.protocol)
    if isinstance(protocol, Published):
        right = predicted(_ending_as_published(network), test, protocol.batch_size)
        return {"accuracy": mean_batch_accuracy(right, protocol.batch_size), "hits": packed(right)}
    test = test.first(protocol.samples)
    if splits.task == "regression":
        found = r2(network, test)
        return {"r2": None if isinstance(found, Unavailable) else found}
    right = predicted(network, test)
    if not splits.is_text:
        return {"accuracy": share(right), "hits": packed(right)}
    bits = {"bits_per_character": bits_per_token(network, test)} if splits.is_of_characters else {}
    return {"accuracy": share(right), **bits}


def _ending_as_published(network: nn.Module) -> nn.Module:
    """The published network ends in a log-softmax over the batch, in training and in testing: its answer for one image
    depends on the others of the batch."""
    return nn.Sequential(network, nn.LogSoftmax(dim=0))


def _published_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return cross_entropy(functional.log_softmax(logits, 0), labels)


def _draw_weights(layers: list[nn.Linear], seed: int) -> None:
    """Xavier-normal weights, first layer first, all from one generator seeded with the cell's seed."""
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        drawn = nn.init.xavier_normal_(torch.empty(layer.weight.shape), generator=generator)
        layer.weight.data.copy_(drawn)


def _widest(run: TrainingRun) -> int:
    return max(group.width for group in run.compressor.groups)
