"""Compression of a network while it trains: one object for the bench's protocols and for your own training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from dtcbench import registry
from dtcbench.dtc.selection import Indices, Method
from dtcbench.dtc.sensing import Array, Solve
from dtcbench.errors import CompressionError, UserError
from dtcbench.training.binding import bound_method, bound_solver, described, name_of
from dtcbench.training.compressed_layer import CompressedLayer
from dtcbench.training.compression import Compression, kept_state
from dtcbench.training.compressor_state import entropies, places_of, plain, refuse_another
from dtcbench.training.free_widths import FlopsOfWidths
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.loop import Loss, cross_entropy
from dtcbench.training.observations import Batches, observed
from dtcbench.training.shrinking import refuse_optimizer
from dtcbench.training.surgery import SEE_GROUPS, WIDER, Surgery, lacking
from dtcbench.training.targets import by_group, targets
from dtcbench.unavailable import Unavailable


class NoGroupError(CompressionError):
    """A network has no prunable group of the kind that may go; `lacking` says so without the remedy."""

    def __init__(self, lacking: str, remedy: str) -> None:
        super().__init__(f"{lacking}; {remedy}")
        self.lacking = lacking


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
        self.method = bound_method(method, options)
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
        self._solver = bound_solver(self.method, solver)
        self._flops = FlopsOfWidths(self._surgery.products, self.groups)
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
                f"method {name_of(registry.methods, self.method)} removes no neurons in cycles; use another method, "
                "such as dtc, magnitude or random"
            )
        present = {group.name: group.width for group in self.groups}
        free = self.method.widths == "free"
        due = targets(self.original_widths, present, sparsity, counts, keep, free=free)
        seen = observed(self.method, self.model, self.groups, batches, loss) if due else {}
        if due and self.method.uses_cost:
            for name, cost in self._flops.of_one(present).items():
                seen[name]["cost"] = cost
        compression = Compression(self.method, self._solver, self.seed, self.cycle)
        scored = {
            group.name: compression.scored(group, number, due[group.name], self._state[group.name], seen[group.name])
            for number, group in enumerate(self.groups)
            if group.name in due
        }
        if free:
            due = compression.freed(due, scored, present, self._flops)
        compressed = {
            group.name: compression.made(
                group, number, due.get(group.name), scored.get(group.name), self.original_indices[group.name]
            )
            for number, group in enumerate(self.groups)
        }
        states = {name: kept_state(name, one.group.state, compressed[name]) for name, one in scored.items()}
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
            "method": described(self.method),
            "seed": self.seed,
            "cycle": self.cycle,
            "original_widths": dict(self.original_widths),
            "original_indices": {name: torch.from_numpy(kept.copy()) for name, kept in self.original_indices.items()},
            "entropy": {name: plain(of_group) for name, of_group in self.entropy.items()},
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
        refuse_another(state, self.state_dict())
        self.cut(places_of(state["original_indices"], self.original_indices))
        self.cycle, self._last = int(state["cycle"]), {}
        self._state = {
            name: {key: value.cpu().numpy() for key, value in kept.items()}
            for name, kept in state["kept_by_method"].items()
        }
        self._loaded = {name: entropies(of_group) for name, of_group in state["entropy"].items()}

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Compressor cannot be copied or pickled; build a second one and load state_dict() into it")
