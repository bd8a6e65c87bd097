"""The outcome of each check of `dtcbench selftest`, on one line."""

from __future__ import annotations

from rich.text import Text

from dtcbench.selftest.trial import Trial


def trial_line(trial: Trial) -> Text:
    """`ok`, `waived` with the value's own reason, or `NOT SO` with what was seen."""
    what = f"{trial.axis} {trial.name}: {trial.check.claim}"
    if trial.contradiction:
        return Text(f"NOT SO  {what}\n        {trial.contradiction}", style="red")
    if trial.check.waived:
        return Text(f"waived  {what}\n        {trial.check.waived}", style="dim")
    return Text(f"ok      {what}")
