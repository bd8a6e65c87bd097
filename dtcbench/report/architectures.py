"""What can be cut of the networks of a list, as a Markdown table, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from dtcbench.selftest.architectures import Trial
from dtcbench.selftest.cutting import EXACT, Ours, Theirs
from dtcbench.text import ABSENT, percent

HEADER = (
    "| network | exact groups | approximate | refused | cut − silenced | left | Torch-Pruning leaves | seconds |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|"
)
_NEAR = 0.03
"""Three points of the parameters."""


def row(trial: Trial) -> str:
    """A network's line."""
    ours = trial.ours
    if isinstance(ours, str):
        cells = [ABSENT, ABSENT, ABSENT, _short(ours), ABSENT]
    else:
        counts = [str(ours.exact), str(ours.approximate), str(ours.refused)]
        cells = [*counts, f"{ours.difference:.0e}", percent(ours.left, ".1f")]
    theirs = ABSENT if trial.is_skipped else _of_theirs(trial.theirs)
    seconds = f"{ours.seconds:.1f}" if isinstance(ours, Ours) else ABSENT
    return f"| {' | '.join([trial.network.name, *cells, theirs, seconds])} |"


def summary(trials: Sequence[Trial]) -> str:
    """How many have a group, are exact, and leave as few parameters as Torch-Pruning where its cut is exact too."""
    tried = [trial for trial in trials if not trial.is_skipped]
    seen = [trial.ours for trial in tried if isinstance(trial.ours, Ours)]
    with_group = sum(bool(ours.exact + ours.approximate) for ours in seen)
    comparable = [
        (trial.ours.left, trial.theirs.left)
        for trial in tried
        if trial.holds and isinstance(trial.ours, Ours) and isinstance(trial.theirs, Theirs)
        if trial.theirs.difference <= EXACT
    ]
    near = sum(ours <= theirs + _NEAR for ours, theirs in comparable)
    return (
        f"{with_group} of {len(tried)} networks have a group; {sum(trial.holds for trial in tried)} cuts of all exact "
        f"groups are exact (difference of at most {EXACT:g}). Torch-Pruning's cut is exact for {len(comparable)}; "
        f"in {near} we leave at most 3 points more parameters. {len(trials) - len(tried)} were not tried."
    )


def _of_theirs(theirs: Theirs | str) -> str:
    if isinstance(theirs, str):
        return _short(theirs)
    exact = theirs.difference <= EXACT
    return percent(theirs.left, ".1f") if exact else f"not exact ({theirs.difference:.0e})"


def _short(why: str) -> str:
    return why.replace("|", "/")[:80]
