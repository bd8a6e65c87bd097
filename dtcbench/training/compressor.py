"""Compression of a network while it trains: one object for the bench's protocols and for your own training loop."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import Field, dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from dtcbench import registry
from dtcbench.dtc.recovery import checked, unchecked
from dtcbench.dtc.selection import Group, Indices, Method, Scores, Target
from dtcbench.dtc.sensing import Array, Solve
from dtcbench.errors import CompressionError, UserError
from dtcbench.plan.naming import DEFAULT_SOLVER
from dtcbench.training.compressed_layer import NOTHING_MEASURED, NOTHING_REMOVED, CompressedLayer
from dtcbench.training.determinism import generator
from dtcbench.training.free_widths import FlopsOfWidths, free_widths, least_of
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.loop import Loss, cross_entropy
from dtcbench.training.observations import Batches, observed
from dtcbench.training.surgery import Surgery, checked_indices, refuse_optimizer
from dtcbench.training.targets import by_group, targets
from dtcbench.unavailable import Unavailable

WIDER: Mapping[registry.Groups, tuple[registry.Groups, ...]] = {
    "simple": ("coupled", "approximate"),
    "coupled": ("approximate",),
    "approximate": (),
}
"""By what may go, the kinds with which more may."""
SEE_GROUPS = "see `dtcbench list --groups`"


class NoGroupError(CompressionError):
    """A network has no prunable group of the kind that may go; `lacking` says so without the remedy."""

    def __init__(self, lacking: str, remedy: str) -> None:
        super().__init__(f"{lacking}; {remedy}")
        self.lacking = lacking


@dataclass(frozen=True)
class _Scored:
    """What a method saw of a group, and its scores."""

    group: Group
    scores: Scores
    solver_s: float


class Compressor:
    """Removes neurons from a network while it trains, in place, cycle after cycle.

    Parameters
    ----------
    model : any network, on any device and in any mode; the mode stays as it is
    example : one sample of its input, with the batch axis [1, …]; for several arguments a tuple, or a dict by name
    method : a registered method (`dtcbench list`), or a `dtcbench.dtc.selection.Method`
    solver : the recovery solver, for methods that use one: a registered name, or a function
        (Θ [n, m], y [n, k], λ) → s [m, k]; `interior-point` if not given
    groups : what may go: `simple`, neurons between two layers; `coupled`, also channels and heads that go together;
        `approximate`, also those without which a normalisation computes something else
    optimizer : its state is carried over to the smaller parameters; without it, make a new one after each compression
    seed : decides all random numbers of the compression
    **options : options of a registered method

    Raises
    ------
    NoGroupError
        The network has no prunable group of this kind; it is a CompressionError.
    UserError
        An argument cannot be used, or the optimiser cannot train smaller parameters on (LBFGS).

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
        example: torch.Tensor | Sequence[Any] | Mapping[str, Any],
        method: str | Method = "dtc",
        *,
        solver: str | Solve | None = None,
        groups: registry.Groups = "simple",
        optimizer: torch.optim.Optimizer | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self.method = _method(method, options)
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
            raise UserError(f"seed {seed!r} is not a whole number of at least 0")
        self.model, self.optimizer, self.seed = model, optimizer, int(seed)
        self._surgery = Surgery(model, example, groups)
        self.groups: list[PrunableGroup] = self._surgery.groups
        """The network's prunable groups, each with its `name`, `width`, and weights `w_in` and `w_out`."""
        if not self.groups and self.method.removal != "never":
            asked = " or ".join(f"groups={kind!r}" for kind in WIDER[groups])
            raise NoGroupError(lacking(self._surgery, groups), f"{f'give {asked}, and ' if asked else ''}{SEE_GROUPS}")
        refuse_optimizer(optimizer, self.groups)
        self.original_widths = {group.name: group.width for group in self.groups}
        self.original_indices: dict[str, Indices] = {
            name: np.arange(width, dtype=np.int64) for name, width in self.original_widths.items()
        }
        """Per group, the neurons that are left, as they were numbered in the original network."""
        self.cycle = 0
        """Number of compressions so far."""
        self._device = next(model.parameters()).device
        self._solver_name, self._solve = _solver(self.method, solver)
        self._solver_s = 0.0
        self._state: dict[str, dict[str, Array]] = {group.name: {} for group in self.groups}
        self._last: dict[str, CompressedLayer] = {}
        self._loaded: dict[str, dict[str, float | Unavailable]] = {}  # entropies from before `load_state_dict`

    @property
    def sparsity(self) -> float:
        """Fraction of the original neurons of all groups removed so far; 0 if the network has no group."""
        whole = sum(self.original_widths.values())
        return 1 - sum(group.width for group in self.groups) / whole if whole else 0.0

    @property
    def entropy(self) -> dict[str, dict[str, float | Unavailable]]:
        """Per group, the entropies of its last compression; empty before the first."""
        return self._loaded | {name: layer.entropy for name, layer in self._last.items()}

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
        sparsity : fraction of each group's original neurons to have removed after this call; for a method with free
            widths (`widths="free"`), the network gets the inference FLOPs of those widths
        counts : in place of `sparsity`, the number of neurons to keep: of every group, or by the group's name;
            groups that are not named stay as they are
        keep : without `sparsity` and `counts`, the fraction of the present neurons to keep, by the method's own rule
            (the published methods: a quantile). With them, what the published methods measure by
        batches, loss : training batches (x, y), x as `example` is, for methods that look at samples (`taylor`,
            `hrank`), and the loss of the network's output on them, for those that use its gradients

        Returns
        -------
        What happened to each group, by its name.

        Raises
        ------
        CompressionError
            Names the cycle, the group, its width, its target, the solver, and the remedy.
        UserError
            An argument cannot be used, or the optimiser's state cannot be carried over.
        """
        if self.method.removal != "scored":
            raise CompressionError(
                f"method {_name_of(registry.methods, self.method)} removes no neurons in cycles; use another method, "
                "such as dtc, magnitude or random"
            )
        present = {group.name: group.width for group in self.groups}
        free = self.method.widths == "free"
        due = targets(self.original_widths, present, sparsity, counts, keep, free=free)
        seen = observed(self.method, self.model, self.groups, batches, loss) if due else {}
        if due and self.method.uses_cost:
            for name, cost in FlopsOfWidths(self._surgery.products, self.groups).of_one(present).items():
                seen[name]["cost"] = cost
        scored = {
            group.name: self._score(group, place, due[group.name], seen[group.name])
            for place, group in enumerate(self.groups)
            if group.name in due
        }
        if free:
            due = self._freed(due, scored)
        compressed = {
            group.name: self._choose(group, place, due.get(group.name), scored.get(group.name))
            for place, group in enumerate(self.groups)
        }
        states = {name: self._kept(name, one.group.state, compressed[name].indices) for name, one in scored.items()}
        self.cut({name: compressed[name].indices for name in due})
        self._state |= states
        self.cycle += 1
        known = self._last.keys() | self._loaded.keys()
        self._last |= {name: layer for name, layer in compressed.items() if name in due or name not in known}
        return compressed

    def cut(self, indices: Mapping[str, Indices]) -> None:
        """Keep these neurons of these groups, as they are numbered at present; the method is not asked.

        UserError or CompressionError, before anything is cut, for a group or neurons that do not exist.
        """
        kept = self._surgery.cut(by_group(indices, list(self.original_widths)), self.optimizer)
        for name, numbers in kept.items():
            self.original_indices[name] = self.original_indices[name][numbers]
            self._state[name] = {key: value[numbers] for key, value in self._state[name].items()}

    def penalty(self) -> torch.Tensor | None:
        """The scalar that the method adds to the loss of every training step; None if it adds none."""
        found: torch.Tensor | None = self.method.penalty(self.groups)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The state to save with the model's and the optimiser's; `torch.load(…, weights_only=True)` reads it."""
        return {
            "method": _described(self.method),
            "seed": self.seed,
            "cycle": self.cycle,
            "original_widths": dict(self.original_widths),
            "original_indices": {name: torch.from_numpy(kept.copy()) for name, kept in self.original_indices.items()},
            "entropy": {name: _plain(entropies) for name, entropies in self.entropy.items()},
            "kept_by_method": {
                name: {key: torch.from_numpy(value.copy()) for key, value in state.items()}
                for name, state in self._state.items()
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state: cut the model to its widths, so that the saved model's state dict fits.

        Call this on the original, full-size model first; then load the model's and the optimiser's state.
        CompressionError if the state is of another method or seed, or if the model does not have the groups, or no
        longer has the neurons, of the state.
        """
        mine = self.state_dict()
        if missing := sorted(mine.keys() - state.keys()):
            raise CompressionError(f"the state lacks {', '.join(missing)}; give what Compressor.state_dict() returned")
        for name in ("method", "seed"):
            if state[name] != mine[name]:
                raise CompressionError(
                    f"the state is of {name} {state[name]} and this compressor has {mine[name]}; "
                    "build it with those of the state"
                )
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
        self.cycle, self._last = int(state["cycle"]), {}
        self._state = {
            name: {key: value.cpu().numpy() for key, value in kept.items()}
            for name, kept in state["kept_by_method"].items()
        }
        self._loaded = {
            name: {key: Unavailable(value) if isinstance(value, str) else value for key, value in of.items()}
            for name, of in state["entropy"].items()
        }

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Compressor cannot be copied or pickled; build a second one and load state_dict() into it")

    def _score(self, group: PrunableGroup, place: int, target: Target, seen: dict[str, Any]) -> _Scored:
        before, draws = self._solver_s, generator(self.seed, "compress", self.cycle, place)
        solve = partial(self._timed, self._solve) if self._solve else None
        state = {key: value.copy() for key, value in self._state[group.name].items()}
        shown = Group(group.w_in, group.w_out, target, draws, solve, state=state, **seen)
        with self._placing(group, target):
            scores = self.method.scores(shown)
            _check_scores(scores, group.width)
        return _Scored(shown, scores, self._solver_s - before)

    def _freed(self, due: dict[str, Target], scored: dict[str, _Scored]) -> dict[str, Target]:
        """The targets at free widths of the groups that lose neurons, at the FLOPs of the widths that are due."""
        present = {group.name: group.width for group in self.groups}
        flops = FlopsOfWidths(self._surgery.products, self.groups)
        counts = free_widths(
            {name: one.scores.values for name, one in scored.items()},
            self.method.drop,
            lambda widths: flops({**present, **widths}),
            flops({**present, **{name: count for name, target in due.items() if (count := target.count)}}),
            generator(self.seed, "widths", self.cycle),
            least={name: least_of(self.method.floor, due[name], present[name]) for name in scored},
            comparable=self.method.comparable,
        )
        return {name: replace(due[name], count=count) for name, count in counts.items() if count < present[name]}

    def _kept(self, group: str, state: dict[str, Array], indices: Indices) -> dict[str, Array]:
        """What the method keeps of the neurons that are left; CompressionError if it is not an array [m, …]."""
        width = len(self.original_indices[group])
        for key, value in state.items():
            if not isinstance(value, np.ndarray) or value.shape[:1] != (width,):
                raise CompressionError(f"group {group}: the method keeps {key!r}, which is no array [{width}, …]")
        return {key: value[indices] for key, value in state.items()}

    def _choose(
        self, group: PrunableGroup, place: int, target: Target | None, scored: _Scored | None
    ) -> CompressedLayer:
        original, null = self.original_indices[group.name], generator(self.seed, "null", self.cycle, place)
        if target is None or scored is None:
            unchanged = np.arange(group.width, dtype=np.int64)
            return CompressedLayer(group.name, group.width, unchanged, original, NOTHING_REMOVED, 0.0, null)
        with self._placing(group, target):
            chosen = self.method.select(scored.scores, replace(scored.group, target=target))
            indices = checked_indices(group, chosen, "the method kept")
            _check_count(indices, target)
        measured = scored.scores.reconstruction or NOTHING_MEASURED
        return CompressedLayer(group.name, group.width, indices, original[indices], measured, scored.solver_s, null)

    @contextmanager
    def _placing(self, group: PrunableGroup, target: Target) -> Iterator[None]:
        """While a method works on a group: its errors name the place and the solver."""
        try:
            yield
        except CompressionError as error:
            solver = f", solver {self._solver_name}" if self._solver_name else ""
            raise type(error)(f"{where(group.name, group.width, target, self.cycle)}{solver}: {error}") from error

    def _timed(self, solve: Solve, theta: Array, y: Array, lam: float) -> Array:
        """Solve on the model's device, and count the seconds."""
        begin = time.perf_counter()
        try:
            # The CPU is torch's default device anyway, and entering its context makes every operation slower.
            with nullcontext() if self._device.type == "cpu" else self._device:
                return solve(theta, y, lam)
        finally:
            self._solver_s += time.perf_counter() - begin


def lacking(surgery: Surgery, groups: registry.Groups) -> str:
    """Why nothing can be removed from a network without a group of this kind."""
    refused = [f"group {name}: {why}" for name, why in surgery.refused.items()][:1]
    return "; ".join([f"the network has no prunable group of kind {groups}", *refused])


def where(group: str, width: int, target: Target, cycle: int) -> str:
    """A group and its target as an error names them; cycles count from 0, as in the records."""
    kept = f"keep {target.keep:g}" if target.count is None else f"{target.count} to keep"
    return f"cycle {cycle}, group {group}, width {width}, {kept}"


def _check_scores(scores: Scores, width: int) -> None:
    """CompressionError if a method broke its contract: its choice must not be recorded."""
    values = scores.values
    if values.shape != (width,) or not np.isfinite(values).all():
        raise CompressionError(f"the method gave no finite score for each neuron: shape {values.shape}")


def _check_count(indices: Indices, target: Target) -> None:
    if target.count is not None and len(indices) != target.count:
        raise CompressionError(f"the method kept {len(indices)} neurons, not {target.count}")


def _method(method: str | Method, options: dict[str, Any]) -> Method:
    if isinstance(method, str):
        if of_cells := sorted(options.keys() & registry.USAGE):
            raise UserError(
                f"option {', '.join(of_cells)} says how a cell of the bench uses a method; in your own loop you call "
                "compress() when you want to, and another `seed` draws other numbers"
            )
        bound: Method = registry.methods.bind(method, options)
        return bound
    if inspect.isclass(method):
        raise UserError(f"method is the class {method.__name__}; give an object of it, or its registered name")
    if not isinstance(method, Method):
        raise UserError(f"method {method!r} is neither a registered name nor a dtcbench.dtc.selection.Method")
    if options:
        raise UserError(f"options {', '.join(options)} of a method that is an object; set them on the object")
    return method


def _described(method: Method) -> str:
    """The method's name and its options."""
    options: tuple[Field[Any], ...] = fields(method) if is_dataclass(method) else ()
    given = ", ".join(f"{option.name}={getattr(method, option.name)!r}" for option in options)
    return f"{_name_of(registry.methods, method)}({given})"


def _plain(entropies: dict[str, float | Unavailable]) -> dict[str, float | str]:
    return {name: value.reason if isinstance(value, Unavailable) else float(value) for name, value in entropies.items()}


def _solver(method: Method, solver: str | Solve | None) -> tuple[str, Solve | None]:
    """The solver's name and function; nothing for a method that uses none, whose solver must exist all the same."""
    if solver is None:
        solver = DEFAULT_SOLVER
    if not isinstance(solver, str) and not callable(solver):
        raise UserError(f"solver {solver!r} is neither a registered name nor a function (Θ, y, λ) → s")
    bound = registry.solvers.bind(solver, {}) if isinstance(solver, str) else solver
    if not method.uses_solver:
        return "", None
    name = solver if isinstance(solver, str) else _name_of(registry.solvers, solver)
    return name, checked(bound) if method.verifies_solver else unchecked(bound)


def _name_of(axis: registry.Registry, value: Any) -> str:
    """The name that `value`, with or without bound options, is registered by; else its own."""
    function = value.func if isinstance(value, partial) else value
    for name in axis.names():
        registered = axis.get(name)
        if registered is function or (inspect.isclass(registered) and type(function) is registered):
            return name
    return str(getattr(function, "__name__", type(function).__name__))
