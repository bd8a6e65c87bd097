"""One run or bundle as the site shows it, and the addresses of its pages."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from dtcbench.analysis.energy_columns import with_targets
from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import beside_dense, tidy
from dtcbench.plan.grid import Plan
from dtcbench.records.store import Store
from dtcbench.report.build import Derived
from dtcbench.report.elements import Frame
from dtcbench.text import file_names


@dataclass(frozen=True)
class Volume:
    """A run or a bundle, and all that its pages are made of."""

    path: str
    """The folder of its pages in the site, such as `quick/cpu-a-2-cores`."""
    source: str
    """Its own folder as a reader's command names it, such as `results/quick/cpu-a-2-cores`."""
    plan: Plan
    store: Store
    derived: Derived

    @property
    def suite(self) -> str:
        """The suite's name."""
        return self.plan.suite.name

    @property
    def hardware(self) -> str:
        """The hardware classes that its cells ran on, in words."""
        return ", ".join(self.derived.board.hardware_classes) or "no hardware: no cell is ok"

    @property
    def title(self) -> str:
        """How other pages call it."""
        return f"{self.suite} on {self.hardware}"

    @functools.cached_property
    def cells(self) -> pd.DataFrame:
        """Its planned cells, each beside the dense cell of its seed."""
        tables = self.derived.tables
        return beside_dense(with_targets(tidy(tables.cells), tables.cycles))

    @property
    def seeds(self) -> int:
        """How many seeds its suite has."""
        return len({cell.seed for cell in self.plan.cells})

    @property
    def counts(self) -> str:
        """How many of its cells are ok."""
        rows = self.derived.board.rows
        return f"{int(rows['ok'].sum())} of {int(rows['planned'].sum())} cells ok"

    @functools.cached_property
    def methods(self) -> dict[tuple[str, str], str]:
        """The file of each method's page, by method and solver as the leaderboard names them."""
        rows = self.derived.board.rows
        names = zip(rows["method"], rows["solver"], strict=True)
        found = sorted({(str(method), str(solver)) for method, solver in names})
        labels = [series_label(method, solver) for method, solver in found]
        return dict(zip(found, (f"methods/{name}.html" for name in file_names(labels)), strict=True))

    def frame(self, depth: int, *more: tuple[str, str]) -> Frame:
        """The frame of a page that lies `depth` folders below this volume's own."""
        up = "../" * (depth + self.path.count("/") + 1)
        above = (("Overview", f"{up}index.html"), (self.title, f"{'../' * depth}index.html"))
        return Frame(f"{up}assets", (*(above[: 1 + bool(depth)]), *more))


def cell_file(key: str) -> str:
    """Where the page of a cell lies in its volume."""
    return f"cells/{key}.html"


def pages_of_cells(volumes: Iterable[Volume]) -> Mapping[str, str]:
    """The address in the site of every planned cell's page, by key; of a cell in several, the first."""
    found: dict[str, str] = {}
    for volume in volumes:
        for cell in volume.plan.cells:
            found.setdefault(cell.key, f"{volume.path}/{cell_file(cell.key)}")
    return found
