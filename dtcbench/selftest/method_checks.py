"""The claims about every method, tried with its default options on groups of Linear and convolutional layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np

from dtcbench import registry
from dtcbench.dtc.selection import Group, Indices, Method, Removal, Scores, Target
from dtcbench.plan.naming import DEFAULT_SOLVER
from dtcbench.selftest.checking import Check, Contradicted, Elsewhere

_WIDTH, _COUNT, _FEW = 40, 15, 4


def checks(name: str) -> list[Check]:
    """The claims about the method registered as `name`."""
    method: Method = registry.methods.bind(name, {})
    keeps_all = "it removes nothing" if method.removal == "never" else ""
    on_host = "it computes on the host" if method.on == "host" else ""
    claims: dict[str, tuple[Callable[[Method], None], str]] = {
        "there is one finite score for each neuron": (_scores_fit, ""),
        "exactly the count asked for is kept, each neuron once, in ascending order": (_count_is_exact, keeps_all),
        "nine in ten go at once, as after training or before a rewind": (_most_go_at_once, keeps_all),
        "equal scores do not remove more": (_ties_are_broken, keeps_all),
        "equal generators give equal choices": (_generator_decides, ""),
        "the weights are only looked at": (_weights_stay, ""),
        "weights in a GPU's memory give the choice of arrays": (_chooses_anywhere, on_host),
        "it says which end of the scores it drops": (_drop_is_said, ""),
        "it says whether its scores choose, and leaves it to the cell when": (_removal_is_said, ""),
    }
    return [Check(claim, partial(run, method), waived) for claim, (run, waived) in claims.items()]


def _groups(method: Method, seed: int = 0, count: int = _COUNT) -> list[Group]:
    """A group of Linear layers, one of convolutions and a flattened one, as the method asks for them."""
    shapes = [((8,), (5, _WIDTH)), ((3, 3, 3), (6, _WIDTH, 3, 3)), ((3, 3, 3), (4, _WIDTH, 9))]
    solve = registry.solvers.bind(DEFAULT_SOLVER, {}) if method.uses_solver else None
    groups = []
    for incoming, outgoing in shapes:
        rng = np.random.default_rng(7)
        sizes = ((_WIDTH, *incoming), outgoing, (3, _WIDTH), (3, _WIDTH, 4, 4), (_WIDTH, 1))
        w_in, w_out, looked_at, maps, scale = arrays = [rng.normal(size=size) for size in sizes]
        for array in arrays:
            array.setflags(write=False)
        draws = np.random.default_rng(seed)
        group = Group(
            w_in,
            w_out,
            Target(count / _WIDTH, count),
            draws,
            solve,
            sensitivities=looked_at if method.sensitivity_samples else None,
            activations=method.observe(maps) if method.activation_samples else None,
            scales=(scale,) if method.uses_parameters else (),
            parts=(w_in.reshape(_WIDTH, -1), scale) if method.uses_parameters else (),
            cost=1000.0 if method.uses_cost else None,
        )
        groups.append(group)
    return groups


def _choice(method: Method, group: Group) -> tuple[Scores, Indices]:
    scores = method.scores(group)
    return scores, method.select(scores, group)


def _scores_fit(method: Method) -> None:
    for group in _groups(method):
        values = method.scores(group).values
        if np.shape(values) != (_WIDTH,) or not np.isfinite(values).all():
            raise Contradicted(
                f"scores of shape {np.shape(values)}, {np.isfinite(values).sum()} of them finite, for weights "
                f"{group.w_in.shape} and {group.w_out.shape}; give one finite number per neuron"
            )


def _count_is_exact(method: Method) -> None:
    for group in _groups(method):
        _, kept = _choice(method, group)
        if len(kept) != _COUNT or (np.diff(kept) <= 0).any() or not set(kept) <= set(range(_WIDTH)):
            raise Contradicted(f"kept {list(kept)} and not {_COUNT} of {_WIDTH} neurons; see Method.select")


def _most_go_at_once(method: Method) -> None:
    for group in _groups(method, count=_FEW):
        _, kept = _choice(method, group)
        if len(set(kept)) != _FEW:
            raise Contradicted(f"kept {len(set(kept))} and not {_FEW} of {_WIDTH} neurons; see Method.select")


def _ties_are_broken(method: Method) -> None:
    (group, *_) = _groups(method)
    kept = method.select(Scores(np.zeros(_WIDTH)), group)
    if len(set(kept)) != _COUNT:
        raise Contradicted(f"kept {len(set(kept))} of {_WIDTH} equal scores, and not {_COUNT}")


def _generator_decides(method: Method) -> None:
    for one, same in zip(_groups(method, seed=3), _groups(method, seed=3), strict=True):
        if not np.array_equal(_choice(method, one)[1], _choice(method, same)[1]):
            raise Contradicted("the same generator gave another choice; draw from nothing but `group.generator`")


def _weights_stay(method: Method) -> None:
    for group in _groups(method):  # its arrays cannot be written to
        try:
            _choice(method, group)
        except ValueError as error:
            if "read-only" in str(error):
                raise Contradicted("it writes into the weights; work on a copy") from error
            raise


def _chooses_anywhere(method: Method) -> None:
    for group, same in zip(_groups(method), _groups(method), strict=True):
        tensors: dict[str, Any] = {"w_in": Elsewhere.of(same.w_in), "w_out": Elsewhere.of(same.w_out)}
        if not np.array_equal(_choice(method, group)[1], _choice(method, replace(same, **tensors))[1]):
            raise Contradicted("the same weights as torch tensors gave another choice; see `Method.on`")


def _drop_is_said(method: Method) -> None:
    if getattr(method, "drop", None) not in ("smallest", "largest"):
        raise Contradicted("`drop` is neither 'smallest' nor 'largest'; set it on the class")
    if method.removal != "scored":
        return
    (group, *_) = _groups(method)
    lowest = method.select(Scores(np.arange(_WIDTH, dtype=float)), group)[0]
    if (lowest == 0) != (method.drop == "largest"):
        raise Contradicted(f"it says it drops the {method.drop} scores and keeps neuron {lowest} of ascending ones")


def _removal_is_said(method: Method) -> None:
    if method.removal not in get_args(Removal):
        raise Contradicted(f"`removal` is {method.removal!r}; set it to one of {', '.join(get_args(Removal))}")
    if hasattr(method, "when"):
        raise Contradicted("`when` is an option that dtcbench adds; say by `removal` whether the scores choose")
