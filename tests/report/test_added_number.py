"""A further number of every cell is one field of the record, one value and one description: shown in a copy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from suites_for_tests import TINY, edited

import dtcbench

FIELD = '''    widths: dict[str, int]
    """Final width of each prunable group."""
'''
NEW_FIELD = '''    dead_share: float | None = None
    """Share of the neurons that never fire."""
'''
MEASURED = "    return run.result(\n        **run.notes,\n"
DESCRIPTIONS = "METRICS = (\n"
NEW_DESCRIPTION = (
    '    Metric("dead_share", "Dead neurons", ".4f", "share of the neurons that never fire, mean over seeds"),\n'
)
LOOK = """
import json
import dtcbench
from dtcbench.records.dictionary import markdown
from dtcbench.report.leaderboard_view import leaderboard_view
from dtcbench.report.terminal import terminal
from rich.console import Console

run = dtcbench.run("tiny.yaml", out="run", inline=True, progress=False)
console = Console(width=160, file=open("terminal.txt", "w"))
console.print(terminal(leaderboard_view(run.leaderboard())))
console.file.close()
open("columns.md", "w").write(markdown())
print(json.dumps(run.cells["dead_share"].tolist()))
"""


@pytest.fixture(scope="module")
def added(tmp_path_factory) -> Path:
    """A folder in which a copy of the package, with one number more, has run a suite and made its tables."""
    folder = tmp_path_factory.mktemp("added")
    package = folder / "copy/dtcbench"
    shutil.copytree(Path(dtcbench.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, place, new in (
        ("training/protocols.py", MEASURED, MEASURED + "        dead_share=0.125,\n"),
        ("record.py", FIELD, NEW_FIELD + FIELD),
        ("analysis/leaderboard.py", DESCRIPTIONS, DESCRIPTIONS + NEW_DESCRIPTION),
    ):
        (package / module).write_text(
            edited((package / module).read_text(encoding="utf-8"), (place, new)), encoding="utf-8"
        )
    (folder / "tiny.yaml").write_text(TINY)
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (folder / "cells.json").write_text(done.stdout.splitlines()[-1])
    return folder


def test_the_table_of_cells_has_it(added):
    assert json.loads((added / "cells.json").read_text()) == [0.125] * 3


@pytest.mark.parametrize(
    ("file", "title", "value"),
    [
        ("terminal.txt", "dead", "0.1250"),
        ("run/leaderboard.md", "| Dead neurons |", "| 0.1250 |"),
        ("run/leaderboard.csv", "dead_share_mean", "0.125"),
        ("run/leaderboard.tex", "& Dead neurons &", "& 0.1250 &"),
        ("run/leaderboard.html", "Dead neurons", "0.1250"),
    ],
)
def test_every_rendering_of_the_leaderboard_has_it(added, file, title, value):
    text = (added / file).read_text(encoding="utf-8")
    assert title in text
    assert text.count(value) >= 3


def test_the_data_dictionary_explains_it(added):
    lines = (added / "columns.md").read_text(encoding="utf-8").splitlines()
    assert "- `dead_share`: Share of the neurons that never fire." in lines
    assert "- `dead_share_mean`: share of the neurons that never fire, mean over seeds" in lines
