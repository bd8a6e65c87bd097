"""The leaderboard for other programs: CSV with every column at full precision."""

from __future__ import annotations

from dtcbench.analysis.leaderboard import Leaderboard


def leaderboard_csv(leaderboard: Leaderboard) -> str:
    """One line per row under `leaderboard.COLUMNS`; an empty field is not available."""
    return leaderboard.rows.to_csv(index=False, lineterminator="\n")


def summary_csv(leaderboard: Leaderboard) -> str:
    """One line per method and pool under `summary.COLUMNS`; the heading alone where no pool has two pairs."""
    return leaderboard.summary.to_csv(index=False, lineterminator="\n")
