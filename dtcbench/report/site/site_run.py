"""A run or a bundle on the site, and the addresses of its pages."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from dtcbench.analysis.energy_columns import with_targets
from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import tidy, with_baseline
from dtcbench.records.run import Run
from dtcbench.report.elements import Frame
from dtcbench.text import file_names


@dataclass(frozen=True)
class SiteRun:
    """A run or a bundle on the site."""

    path: str
    """The folder of its pages in the site, such as `quick/cpu-a-2-cores`."""
    source: str
    """Its own folder as a reader's command names it, such as `results/quick/cpu-a-2-cores`."""
    run: Run

    @property
    def suite(self) -> str:
        """The suite's name."""
        return self.run.suite

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why its leaderboard must not be published."""
        return self.run.leaderboard().obstacles

    @property
    def hardware(self) -> str:
        """The hardware classes that its cells ran on, in words."""
        return ", ".join(self.run.leaderboard().hardware_classes) or "no hardware: no cell is ok"

    @property
    def title(self) -> str:
        """How other pages call it."""
        return f"{self.suite} on {self.hardware}"

    @functools.cached_property
    def cells(self) -> pd.DataFrame:
        """Its planned cells, each with the values of the dense cell of its seed."""
        return with_baseline(with_targets(tidy(self.run.cells), self.run.cycles))

    @property
    def seeds(self) -> int:
        """How many seeds its suite has."""
        return len({cell.seed for cell in self.run.plan.cells})

    @property
    def counts(self) -> str:
        """How many of its cells are ok."""
        rows = self.run.leaderboard().rows
        return f"{int(rows['ok'].sum())} of {int(rows['planned'].sum())} cells ok"

    @functools.cached_property
    def methods(self) -> dict[tuple[str, str], str]:
        """The file of each method's page, by method and solver as the leaderboard names them."""
        rows = self.run.leaderboard().rows
        names = zip(rows["method"], rows["solver"], strict=True)
        found = sorted({(str(method), str(solver)) for method, solver in names})
        labels = [series_label(method, solver) for method, solver in found]
        return dict(zip(found, (f"methods/{name}.html" for name in file_names(labels)), strict=True))

    def frame(self, depth: int, *more: tuple[str, str]) -> Frame:
        """The frame of a page that lies `depth` folders below this run's own."""
        up = "../" * (depth + self.path.count("/") + 1)
        above = (("Overview", f"{up}index.html"), (self.title, f"{'../' * depth}index.html"))
        return Frame(f"{up}assets", (*(above[: 1 + bool(depth)]), *more))


def cell_file(key: str) -> str:
    """Where the page of a cell lies in its run's folder of the site."""
    return f"cells/{key}.html"


def pages_of_cells(runs: Iterable[SiteRun]) -> Mapping[str, str]:
    """The address in the site of every planned cell's page, by key; of a cell in several runs, the first."""
    found: dict[str, str] = {}
    for shown in runs:
        for cell in shown.run.plan.cells:
            found.setdefault(cell.key, f"{shown.path}/{cell_file(cell.key)}")
    return found
