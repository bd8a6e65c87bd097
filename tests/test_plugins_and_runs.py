"""A run that was made with a plug-in: read without it, and never continued with another source or other data."""

import contextlib
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sketches import sketches
from suites_for_tests import TINY, edited
from typer.testing import CliRunner

from dtcbench import cli, registry

PLUGIN = '''\
"""Squares, read from a file beside the plug-in, the neurons that come first, and plain gradient descent."""

import numpy as np
import torch

from dtcbench.datasets.splits import Pixels, Splits
from dtcbench.dtc.selection import Method, Scores
from dtcbench.registry import register_dataset, register_method, register_protocol
from dtcbench.training.recipe import Recipe


@register_protocol("plain")
def plain(model, steps, *, lr: float = 0.1):
    return Recipe(torch.optim.SGD(model.parameters(), lr=lr))


@register_method("first")
class First(Method):
    """Keeps the first neurons, whatever they do."""

    drop = "largest"

    def __init__(self, *, step: float = 1.0) -> None:
        self.step = step

    def scores(self, group):
        return Scores(self.step * np.arange(group.width, dtype=np.float64))


@register_dataset("squares")
def squares():
    x = np.load("squares.npy")
    y = (np.arange(len(x)) % 2).astype(np.uint8)
    for array in (x, y):
        array.setflags(write=False)
    return Splits(x[:80], y[:80], x[80:], y[80:], 2, Pixels(scale=255.0, mean=0.5, std=0.3))
'''
pytestmark = pytest.mark.usefixtures("sketched")
SUITE = edited(
    TINY,
    ("digits", "squares"),
    ("standard, ", "plain, lr: 1, "),
    ("[dtc, magnitude]", "[dtc, first, {name: first, step: 2}]"),
)
READING = ("status", "board", "claims", "report", "check", "site")


def images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (100, 1, 4, 4), dtype=np.uint8)


def unload(monkeypatch) -> None:
    """As in a new process: nothing of a plug-in is registered."""
    for axis in registry.AXES:
        own = {name: entry for name, entry in axis._entries.items() if entry.plugin is None}
        monkeypatch.setattr(axis, "_entries", own)
    forget_modules()


def forget_modules() -> None:
    """Nothing of a plug-in is imported: the next test may import it again."""
    for name in [name for name in sys.modules if name.startswith(registry.PLUGIN_PREFIX)]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with mine.py, squares.npy, tiny.yaml and its finished run; only to be copied."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "tiny.yaml").write_text(SUITE)
    np.save(folder / "squares.npy", images(0))
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch, sketches():
        for axis in registry.AXES:
            axis.discover()
            patch.setattr(axis, "_entries", dict(axis._entries))
        ended = CliRunner().invoke(cli.app, ["run", "tiny.yaml", "--inline", "--plugin", "mine.py"])
        assert ended.exit_code == 0, ended.output
    forget_modules()
    return folder


@pytest.fixture
def made(finished, tmp_path, monkeypatch):
    """A copy of the finished run to spoil; the plug-in is loaded no more."""
    folder = shutil.copytree(finished, tmp_path / "made")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("verb", READING)
def test_reading_a_run_needs_no_plug_in_and_shows_the_same(made, dtcbench, monkeypatch, verb):
    without = dtcbench(verb, "runs/tiny")
    (made / "elsewhere.py").write_text(PLUGIN)
    registry.Plugin.read(made / "elsewhere.py").load()
    assert (without.code, without.out, without.err) == (
        (loaded := dtcbench(verb, "runs/tiny")).code,
        loaded.out,
        loaded.err,
    )
    assert "unknown" not in without.out + without.err
    assert verb == "check" or without.code == 0  # the checkout that this test runs in may have changes


def test_labels_without_the_plug_in_leave_out_what_were_its_defaults(made, dtcbench):
    shown = dtcbench("board", "tiny").out
    assert "first" in shown
    assert "first(step=2.0)" in shown
    assert "first(step=1.0)" not in shown
    assert "plain(cycle_steps=5, lr=1.0, steps=30)" in shown


def test_going_on_without_the_plug_in_names_it_and_its_digest(made, dtcbench):
    digest = registry.Plugin.read(made / "mine.py").sha256
    for command in (["run", "tiny.yaml", "--inline"], ["plan", "tiny.yaml"], ["reproduce", "runs/tiny"]):
        ended = dtcbench(*command)
        assert ended.code == 2
        assert "method 'first' comes from plug-in mine" in ended.err
        assert digest in ended.err
        assert "--plugin" in ended.err


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_run_is_not_continued_on_other_data(made, dtcbench, verb):
    np.save(made / "squares.npy", images(1))
    before = sorted((made / "runs/tiny").rglob("*"))
    ended = dtcbench(verb, "tiny.yaml", "--plugin", "mine.py")
    assert ended.code == 2
    assert "4 ok cells were made with another data set squares" in ended.err
    assert "--out" in ended.err
    assert sorted((made / "runs/tiny").rglob("*")) == before


@pytest.mark.parametrize("name", ["mine.py", "renamed.py"])
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_run_is_not_continued_with_another_plug_in_source(made, dtcbench, verb, name):
    (made / name).write_text(PLUGIN.replace("np.arange(group.width", "-np.arange(group.width"))
    ended = dtcbench(verb, "tiny.yaml", "--plugin", name)
    assert ended.code == 2
    assert f"4 ok cells were made with another plug-in {name.removesuffix('.py')}" in ended.err


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_run_of_a_plug_in_is_not_continued_once_dtcbench_itself_has_its_values(made, dtcbench, monkeypatch, verb):
    registry.Plugin.read(made / "mine.py").load()
    for axis in registry.AXES:
        own = {
            name: replace(entry, module="dtcbench.first") if entry.plugin else entry
            for name, entry in axis._entries.items()
        }
        monkeypatch.setattr(axis, "_entries", own)
    before = (made / "runs/tiny/names.json").read_bytes()
    ended = dtcbench(verb, "tiny.yaml")
    assert ended.code == 2
    used = "dataset 'squares' of plug-in mine, method 'first' of plug-in mine, protocol 'plain' of plug-in mine"
    assert f"used {used}, which dtcbench itself" in ended.err
    assert (made / "runs/tiny/names.json").read_bytes() == before


def test_the_same_data_and_plug_in_go_on_as_before(made, dtcbench):
    ended = dtcbench("plan", "tiny.yaml", "--plugin", "mine.py")
    assert ended.code == 0
    assert "nothing left to run" in ended.out


def test_a_data_set_that_fails_is_refused_when_planning_and_may_be_mended(tmp_path, monkeypatch, dtcbench):
    (tmp_path / "mine.py").write_text(PLUGIN.replace("x = np.load", "raise ValueError; x = np.load"))
    (tmp_path / "tiny.yaml").write_text(SUITE)
    np.save(tmp_path / "squares.npy", images(0))
    monkeypatch.chdir(tmp_path)
    refused = dtcbench("run", "tiny.yaml", "--inline", "--plugin", "mine.py")
    assert (refused.code, refused.err) == (2, "dtcbench: tiny.yaml: squares: ValueError\n")
    unload(monkeypatch)
    (tmp_path / "mine.py").write_text(PLUGIN)
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "mine.py").code == 0


BROKEN = """
from dtcbench.dtc.selection import Method
from dtcbench.registry import register_method


@register_method("late")
class Late(Method):
    drop = "smallest"

    def scores(self, group):
        raise ValueError("not yet")
"""
MENDED = BROKEN.replace('raise ValueError("not yet")', "return Scores(group.w_in.sum(axis=1))").replace(
    "import Method", "import Method, Scores"
)


def test_a_plug_in_that_is_mended_leaves_no_mixture_with_the_cells_that_do_not_name_it(tmp_path, monkeypatch, dtcbench):
    (tmp_path / "late.py").write_text(BROKEN)
    text = edited(TINY, ("[dtc, magnitude]", "[magnitude, late]"), ("    solvers: [lars]\n", ""))
    (tmp_path / "tiny.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "late.py").code == 1
    unload(monkeypatch)
    (tmp_path / "late.py").write_text(MENDED)
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "late.py", "--retry-failed").code == 0
    told = dtcbench("check", "tiny").out
    assert "different contents" not in told
    assert "made with plug-in late" in told


def test_runs_made_on_other_data_are_not_merged(made, dtcbench, monkeypatch):
    np.save(made / "squares.npy", images(1))
    suite = edited(SUITE, ("seeds: 1", "seeds: [1]"))
    (made / "tiny.yaml").write_text(suite)
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "mine.py", "--out", "other").code == 0
    unload(monkeypatch)
    ended = dtcbench("merge", "tiny", "other", "--out", "both")
    assert ended.code == 1
    assert "data set squares has 2 different contents" in ended.out
    assert not (made / "both").exists()


def test_runs_of_different_plug_in_sources_are_not_merged_and_the_remedy_names_no_cell(made, dtcbench, monkeypatch):
    unload(monkeypatch)
    (made / "mine.py").write_text(PLUGIN + "\n# changed\n")
    (made / "tiny.yaml").write_text(edited(SUITE, ("seeds: 1", "seeds: [1]")))
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "mine.py", "--out", "other").code == 0
    unload(monkeypatch)
    ended = dtcbench("merge", "tiny", "other", "--out", "both")
    assert ended.code == 1
    found, remedy, last = ended.out.splitlines()
    assert found.startswith("conflict: plug-in mine has 2 different contents in the records")
    assert remedy == "merge only runs that were made from the same data and the same plug-ins"
    assert last == "1 conflicts: both was not written"
    assert not (made / "both").exists()


def test_claims_are_not_judged_by_runs_on_different_data(made, dtcbench, monkeypatch):
    np.save(made / "squares.npy", images(1))
    (made / "tiny.yaml").write_text(edited(SUITE, ("seeds: 1", "seeds: [1]")))
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "mine.py", "--out", "other").code == 0
    ended = dtcbench("claims", "tiny", "other")
    assert ended.code == 2
    assert "data set squares has 2 different contents in the records" in ended.err


def test_claims_are_not_judged_by_runs_of_different_plug_in_sources(made, dtcbench, monkeypatch):
    unload(monkeypatch)
    (made / "mine.py").write_text((made / "mine.py").read_text() + "\n# changed\n")
    (made / "tiny.yaml").write_text(edited(SUITE, ("seeds: 1", "seeds: [1]")))
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "mine.py", "--out", "other").code == 0
    ended = dtcbench("claims", "tiny", "other")
    assert ended.code == 2
    assert "plug-in mine has 2 different contents in the records" in ended.err


def test_the_table_of_cells_names_the_data(made):
    cells = pd.read_parquet(made / "runs/tiny/tables/cells.parquet")
    assert cells["dataset_sha256"].nunique() == 1
    assert cells["dataset_sha256"].str.fullmatch("[0-9a-f]{64}").all()


def test_runs_of_one_plug_in_are_merged_without_it(made, dtcbench, monkeypatch):
    (made / "tiny.yaml").write_text(edited(SUITE, ("seeds: 1", "seeds: [1]")))
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "mine.py", "--out", "other").code == 0
    unload(monkeypatch)
    assert dtcbench("merge", "tiny", "other", "--out", "both").code == 0
    (folder,) = [path.parent for path in (made / "both").rglob("suite.yaml")]
    assert "first(step=2.0)" in dtcbench("board", folder).out


def test_check_finds_cells_of_different_data_in_one_run(made, dtcbench):
    from dtcbench.record import CellRecord
    from dtcbench.records.sealing import seal, unsealed

    path = min((made / "runs/tiny/records").iterdir())
    record = unsealed(path.read_bytes(), CellRecord).model_dump(mode="json")
    record["provenance"]["dataset_sha256"] = "0" * 64
    path.write_bytes(seal(record))
    assert "error: provenance: data set squares has 2 different contents" in dtcbench("check", "tiny").out


def test_check_finds_an_option_that_a_record_states_as_a_default_and_is_none(made, dtcbench):
    from dtcbench.records.sealing import opened, seal

    for path in (made / "runs/tiny/records").iterdir():
        record, _ = opened(path.read_bytes())
        record["cell"]["protocol"]["defaults"]["batch_size"] = 32
        path.write_bytes(seal(record))
    told = dtcbench("check", "tiny").out
    assert "protocol plain: batch_size 32 is not the default 64, and not in the record's key" in told


def test_check_refuses_a_run_that_says_other_things_of_the_package_s_own_names(made, dtcbench):
    path = made / "runs/tiny/names.json"
    names = json.loads(path.read_text())
    names["meanings"]["method"]["dtc"]["defaults"]["lam"] = 7.0
    next(one for one in names["chosen"]["method"] if one["name"] == "dtc")["options"]["lam"] = 7.0
    path.write_text(json.dumps(names))
    assert "error: suite: names.json: method 'dtc' is not this dtcbench's" in dtcbench("check", "tiny").out


TIMED = """
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator

from dtcbench.dtc.selection import Method, Scores
from dtcbench.registry import register_method

Seconds = Annotated[float, BeforeValidator(lambda value: float(str(value).removesuffix("s")))]


class Place(BaseModel):
    x: float = 0.0


@register_method("timed")
class Timed(Method):
    drop = "smallest"

    def __init__(self, *, budget: Seconds = 60.0, place: Place = Place()):
        self.budget = budget

    def scores(self, group):
        return Scores(np.arange(group.width, dtype=np.float64))
"""


def test_options_that_their_annotations_convert_are_read_without_the_plug_in(tmp_path, monkeypatch, dtcbench):
    (tmp_path / "timed.py").write_text(TIMED)
    methods = "[{name: timed, budget: 90s}, {name: timed, place: {x: 3}}]"
    text = edited(TINY, ("[dtc, magnitude]", methods), ("    solvers: [lars]\n", ""))
    (tmp_path / "tiny.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "timed.py").code == 0
    assert dtcbench("run", "tiny.yaml", "--inline", "--plugin", "timed.py", "--out", "again").code == 0
    unload(monkeypatch)
    assert dtcbench("status", "tiny").code == 0
    assert "timed(budget=90.0)" in dtcbench("board", "tiny").out
    assert dtcbench("merge", "tiny", "again", "--out", "both").code == 0
    (folder,) = [path.parent for path in (tmp_path / "both").rglob("suite.yaml")]
    assert dtcbench("status", folder).code == 0


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"meanings": {}, "chosen": {}}', "{" * 10_000, "\xff"])
def test_a_broken_declaration_is_one_line(made, dtcbench, content):
    (made / "runs/tiny/names.json").write_text(content, encoding="latin-1")
    for verb in ("status", "check"):
        ended = dtcbench(verb, "tiny")
        assert ended.code in (1, 2)
        assert "Traceback" not in ended.out + ended.err
        assert "names.json" in ended.out + ended.err
