"""Compression of a network while it trains: one object for the bench's protocols and for your own training loop."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from dtcbench import registry
from dtcbench.dtc.recovery import checked, unchecked
from dtcbench.dtc.selection import Group, Indices, Method, Scores, Target
from dtcbench.dtc.sensing import Array, Reconstruction, Solve, Weights
from dtcbench.entropy import entropy_bits, normalised_entropy, published_entropy
from dtcbench.errors import CompressionError, UserError, near
from dtcbench.plan.naming import DEFAULT_SOLVER
from dtcbench.record import Layer
from dtcbench.training.determinism import generator
from dtcbench.training.loop import cross_entropy
from dtcbench.training.surgery import PrunableGroup, Surgery, refuse_indices, refuse_optimizer
from dtcbench.unavailable import Unavailable

NOTHING_MEASURED = Unavailable("the method makes no measurement")
NOTHING_REMOVED = Unavailable("no neuron of this group was due in this cycle")
_ENTROPIES = tuple(name for name in Layer.model_fields if name.startswith("entropy"))
Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(the network's output, the labels) → a scalar."""


@dataclass(frozen=True)
class CompressedLayer:
    """What one compression did to one prunable group."""

    group: str
    width_before: int
    indices: Indices
    """The neurons kept, as they were numbered before this compression."""
    original_indices: Indices
    """The same neurons, as they were numbered in the original network."""
    reconstruction: Reconstruction | Unavailable
    solver_s: float
    """Seconds in the recovery solver."""
    null: np.random.Generator
    """Shuffles the projections for the entropies of a random order."""

    @property
    def width_after(self) -> int:
        """Number of neurons kept."""
        return len(self.indices)

    @property
    def entropy(self) -> dict[str, float | Unavailable]:
        """The entropies of the two measurements, named as the fields of a record's Layer."""
        if isinstance(self.reconstruction, Unavailable):
            return dict.fromkeys(_ENTROPIES, self.reconstruction)
        return {name: self._measured[name] for name in _ENTROPIES}

    @cached_property
    def _measured(self) -> dict[str, Any]:
        """The fields of a Layer that come from the reconstruction."""
        found = self.reconstruction
        if isinstance(found, Unavailable):
            return {}
        incoming, outgoing = found.y.T
        return {
            "measurements": len(found.y),
            "nonzeros": int(np.count_nonzero(found.coefficient_ray)),
            "solver_s": self.solver_s,
            "entropy_in_published": published_entropy(incoming, "incoming"),
            "entropy_out_published": published_entropy(outgoing, "outgoing"),
            "entropy_in_bits": entropy_bits(incoming),
            "entropy_out_bits": entropy_bits(outgoing),
            "entropy_in_normalised": normalised_entropy(incoming),
            "entropy_out_normalised": normalised_entropy(outgoing),
            "entropy_in_shuffled_bits": entropy_bits(found.phi @ self.null.permutation(found.a_in)),
            "entropy_out_shuffled_bits": entropy_bits(found.phi @ self.null.permutation(found.a_out)),
        }

    def record(self, **numbers: Any) -> Layer:
        """The record of this compression; `numbers` are fields of the Layer that were measured elsewhere."""
        digest = hashlib.sha256(self.original_indices.astype("<i8").tobytes()).hexdigest()
        facts: dict[str, Any] = {
            "group": self.group,
            "width_before": self.width_before,
            "width_after": self.width_after,
        }
        facts |= {"kept_sha256": digest, **self._measured, **numbers}
        if isinstance(self.reconstruction, Unavailable):  # all other fields come from it
            absent = [name for name in Layer.model_fields if name not in facts and name != "reasons"]
            facts |= dict.fromkeys(absent, self.reconstruction)
        return Layer.of(**facts)


class Compressor:
    """Removes neurons from a network while it trains, in place, cycle after cycle.

    Parameters
    ----------
    model : any network that torch-pruning can trace, on any device and in any mode; the mode stays as it is
    example : one sample of its input, with the batch axis [1, …], on the model's device
    method : a registered method (`dtcbench list`), or a `dtcbench.dtc.selection.Method`
    solver : the recovery solver, for methods that use one: a registered name, or a function
        (Θ [n, m], y [n, k], λ) → s [m, k]; `interior-point` if not given
    optimizer : its state is carried over to the smaller parameters; without it, make a new one after each compression
    seed : decides all random numbers of the compression
    **options : options of a registered method

    Raises
    ------
    CompressionError
        The network has no prunable group: no hidden width with exactly one producing and one consuming layer.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from dtcbench.training.compressor import Compressor
    >>> model = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 3))
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> compressor = Compressor(model, torch.zeros(1, 8), method="dtc", optimizer=optimizer)
    >>> x, y = torch.randn(64, 8), torch.randint(3, (64,))
    >>> for sparsity in (0.25, 0.5):
    ...     for _ in range(10):
    ...         optimizer.zero_grad()
    ...         loss = nn.functional.cross_entropy(model(x), y)
    ...         loss.backward()
    ...         optimizer.step()
    ...     compressed = compressor.compress(sparsity)
    >>> model[0], compressor.sparsity
    (Linear(in_features=8, out_features=10, bias=True), 0.5)
    >>> [(layer.group, layer.width_before, layer.width_after) for layer in compressed.values()]
    [('0', 15, 10)]
    """

    def __init__(
        self,
        model: nn.Module,
        example: torch.Tensor,
        method: str | Method = "dtc",
        *,
        solver: str | Solve | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        if options and not isinstance(method, str):
            raise UserError(f"options {', '.join(options)} of a method that is an object; set them on the object")
        self.method: Method = registry.methods.bind(method, options) if isinstance(method, str) else method
        self.model, self.optimizer, self.seed = model, optimizer, seed
        self._surgery = Surgery(model, example)
        self.groups: list[PrunableGroup] = self._surgery.groups
        """The network's prunable groups, each with its `name`, `width`, and weights `w_in` and `w_out`."""
        if not self.groups:
            raise CompressionError(
                "the network has no prunable group: no hidden width with exactly one producing and one consuming "
                "layer; see `dtcbench list --groups`"
            )
        refuse_optimizer(optimizer, self.groups)
        self.original_widths = {group.name: group.width for group in self.groups}
        self.original_indices: dict[str, Indices] = {
            name: np.arange(width, dtype=np.int64) for name, width in self.original_widths.items()
        }
        """Per group, the neurons that are left, as they were numbered in the original network."""
        self.cycle = 0
        """Number of compressions so far."""
        self._device = example.device
        self._solver_name, self._solve = _solver(self.method, solver)
        self._solver_s = 0.0
        self._last: dict[str, CompressedLayer] = {}

    @property
    def sparsity(self) -> float:
        """Fraction of the original neurons of all groups removed so far."""
        return 1 - sum(group.width for group in self.groups) / sum(self.original_widths.values())

    @property
    def entropy(self) -> dict[str, dict[str, float | Unavailable]]:
        """Per group, the entropies of its last compression; empty before the first."""
        return {name: layer.entropy for name, layer in self._last.items()}

    def compress(
        self,
        sparsity: float | None = None,
        *,
        counts: int | Mapping[str, int] | None = None,
        keep: float | Mapping[str, float] | None = None,
        batches: Batches = (),
        loss: Loss = cross_entropy,
    ) -> dict[str, CompressedLayer]:
        """Let the method choose the neurons to keep, and remove the others, in place.

        All groups are scored before any is cut. After an error the network is as it was.

        Parameters
        ----------
        sparsity : fraction of each group's original neurons to have removed after this call
        counts : in place of `sparsity`, the number of neurons to keep: of every group, or by the group's name;
            groups that are not named stay as they are
        keep : without `sparsity` and `counts`, the fraction of the present neurons to keep, by the method's own rule
            (the published methods: a quantile). With them, what the published methods measure by
        batches, loss : training batches (x, y), and the loss of the network's output on them, for methods that
            use gradients of the loss (`taylor`)

        Returns
        -------
        What happened to each group, by its name.

        Raises
        ------
        CompressionError
            Names the cycle, the group, its width, its target, the solver, and the remedy.
        """
        if self.method.when != "cycles":
            raise CompressionError(
                f"method {_name_of(registry.methods, self.method)} removes no neurons in cycles; use another method, "
                "such as dtc, magnitude or random"
            )
        targets = self._targets(sparsity, counts, keep)
        needs_gradients = bool(targets) and self.method.sensitivity_samples > 0
        sensitivities = self._sensitivities(batches, loss) if needs_gradients else {}
        compressed = {
            group.name: self._choose(group, place, targets.get(group.name), sensitivities.get(group.name))
            for place, group in enumerate(self.groups)
        }
        self.cut({name: compressed[name].indices for name in targets})
        self.cycle += 1
        self._last |= {name: compressed[name] for name in compressed if name in targets or name not in self._last}
        return compressed

    def cut(self, indices: Mapping[str, Indices]) -> None:
        """Keep these neurons of these groups, as they are numbered at present; the method is not asked."""
        kept = {name: np.asarray(numbers) for name, numbers in self._by_group(indices).items()}
        self._surgery.cut(kept, self.optimizer)
        for name, numbers in kept.items():
            self.original_indices[name] = self.original_indices[name][numbers]

    def state_dict(self) -> dict[str, Any]:
        """The state to save with the model's and the optimiser's; `torch.load(…, weights_only=True)` reads it."""
        indices = {name: torch.from_numpy(kept.copy()) for name, kept in self.original_indices.items()}
        return {"cycle": self.cycle, "original_widths": dict(self.original_widths), "original_indices": indices}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state: cut the model to its widths, so that the saved model's state dict fits.

        Call this on the original, full-size model first; then load the model's and the optimiser's state.
        CompressionError if the model does not have the groups, or no longer has the neurons, of the state.
        """
        if state["original_widths"] != self.original_widths:
            raise CompressionError(
                f"the state is of a network with groups {state['original_widths']} and this one has "
                f"{self.original_widths}; build the network as it was before its first compression"
            )
        indices: dict[str, Indices] = {}
        for name, present in self.original_indices.items():
            saved = state["original_indices"][name].cpu().numpy()
            if gone := np.setdiff1d(saved, present).tolist():
                raise CompressionError(
                    f"group {name}, width {len(present)}: {len(gone)} neurons of the state are already removed; "
                    "load it into the network as it was before its first compression"
                )
            if not np.array_equal(saved, present):
                place = {original: number for number, original in enumerate(present.tolist())}
                indices[name] = np.array([place[original] for original in saved.tolist()], dtype=np.int64)
        self.cut(indices)
        self.cycle = int(state["cycle"])

    def _targets(
        self,
        sparsity: float | None,
        counts: int | Mapping[str, int] | None,
        keep: float | Mapping[str, float] | None,
    ) -> dict[str, Target]:
        """The target of each group that has neurons to lose."""
        if (sparsity is not None and counts is not None) or (sparsity, counts, keep) == (None, None, None):
            raise UserError("give compress() a sparsity, or counts, or keep, and not both of the first two")
        if sparsity is not None:
            if not 0 <= sparsity < 1:
                raise UserError(f"sparsity {sparsity:g} is not at least 0 and below 1")
            counts = {name: round(width * (1 - sparsity)) for name, width in self.original_widths.items()}
        fractions = self._by_group(keep)
        if counts is None:
            return {name: Target(fraction, None) for name, fraction in fractions.items()}
        numbers, widths = self._by_group(counts), {group.name: group.width for group in self.groups}
        for name, number in numbers.items():
            if number > widths[name]:
                raise CompressionError(
                    f"group {name}, width {widths[name]}: cannot keep {number} neurons; removed neurons do not come "
                    "back, raise the sparsity or lower the count"
                )
        return {
            name: Target(fractions.get(name, number / widths[name]), number)
            for name, number in numbers.items()
            if number != widths[name]
        }

    def _by_group(self, value: Any) -> dict[str, Any]:
        """`value` for every group, or for those that it names; UserError for an unknown name."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            return dict.fromkeys(self.original_widths, value)
        for name in value:
            if name not in self.original_widths:
                raise UserError(f"unknown group {name!r}; {near(name, list(self.original_widths))}")
        return dict(value)

    def _sensitivities(self, batches: Batches, loss: Loss) -> dict[str, Weights]:
        """Per group the sensitivities [batches, m] over the first samples. Leaves no gradients behind."""
        seen: dict[str, list[Weights]] = {group.name: [] for group in self.groups}
        modes = {module: module.training for module in self.model.modules()}
        self.model.eval()  # this must not move the statistics of normalisation
        try:
            with torch.enable_grad():
                for x, y in _first(batches, self.method.sensitivity_samples):
                    self.model.zero_grad()
                    loss(self.model(x), y).backward()
                    for group in self.groups:
                        if (sensitivity := group.sensitivity) is not None:
                            seen[group.name].append(sensitivity)
        finally:
            self.model.zero_grad()
            for module, training in modes.items():
                module.training = training
        return {name: np.stack(found) for name, found in seen.items() if found}

    def _choose(
        self, group: PrunableGroup, place: int, target: Target | None, sensitivities: Weights | None
    ) -> CompressedLayer:
        original, null = self.original_indices[group.name], generator(self.seed, "null", self.cycle, place)
        if target is None:
            unchanged = np.arange(group.width, dtype=np.int64)
            return CompressedLayer(group.name, group.width, unchanged, original, NOTHING_REMOVED, 0.0, null)
        before, draws = self._solver_s, generator(self.seed, "compress", self.cycle, place)
        solve = partial(self._timed, self._solve) if self._solve else None
        seen = Group(group.w_in, group.w_out, target, draws, solve, sensitivities)
        try:
            scores = self.method.scores(seen)
            indices = np.asarray(self.method.select(scores, seen))
            _check(scores, indices, seen)
            refuse_indices(group, indices)
        except CompressionError as error:
            solver = f", solver {self._solver_name}" if self._solver_name else ""
            raise type(error)(f"{where(group.name, group.width, target, self.cycle)}{solver}: {error}") from error
        measured = scores.reconstruction or NOTHING_MEASURED
        solver_s = self._solver_s - before
        return CompressedLayer(group.name, group.width, indices, original[indices], measured, solver_s, null)

    def _timed(self, solve: Solve, theta: Array, y: Array, lam: float) -> Array:
        """Solve on the model's device, and count the seconds."""
        begin = time.perf_counter()
        try:
            # The CPU is torch's default device anyway, and entering its context makes every operation slower.
            with nullcontext() if self._device.type == "cpu" else self._device:
                return solve(theta, y, lam)
        finally:
            self._solver_s += time.perf_counter() - begin


def where(group: str, width: int, target: Target, cycle: int) -> str:
    """A group and its target as an error names them; cycles count from 0, as in the records."""
    kept = f"keep {target.keep:g}" if target.count is None else f"{target.count} to keep"
    return f"cycle {cycle}, group {group}, width {width}, {kept}"


def _check(scores: Scores, indices: Indices, group: Group) -> None:
    """CompressionError if a method broke its contract: its choice must not be recorded."""
    values, target = scores.values, group.target
    if values.shape != (group.width,) or not np.isfinite(values).all():
        raise CompressionError(f"the method gave no finite score for each neuron: shape {values.shape}")
    if target.count is not None and len(indices) != target.count:
        raise CompressionError(f"the method kept {len(indices)} neurons, not {target.count}")


def _first(batches: Batches, samples: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of the first `samples` samples; CompressionError if there is no batch."""
    left = samples
    for x, y in batches:
        yield x[:left], y[:left]
        left -= len(x)
        if left <= 0:
            return
    if left == samples:
        raise CompressionError("the method uses gradients of the loss; give compress(…, batches=[(x, y), …])")


def _solver(method: Method, solver: str | Solve | None) -> tuple[str, Solve | None]:
    """The solver's name and function; nothing for a method that uses none."""
    if not method.uses_solver:
        return "", None
    solver = solver or DEFAULT_SOLVER
    bound = registry.solvers.bind(solver, {}) if isinstance(solver, str) else solver
    name = solver if isinstance(solver, str) else _name_of(registry.solvers, solver)
    return name, checked(bound) if method.verifies_solver else unchecked(bound)


def _name_of(axis: registry.Axis, value: Any) -> str:
    """The name that `value`, with or without bound options, is registered by; else its own."""
    function = value.func if isinstance(value, partial) else value
    for name in axis.names():
        registered = axis.get(name)
        if registered is function or (inspect.isclass(registered) and type(function) is registered):
            return name
    return str(getattr(function, "__name__", type(function).__name__))
