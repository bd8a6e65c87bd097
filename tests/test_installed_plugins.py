"""A plug-in that is installed, by an entry point or by being imported, leaves its digest in what it made."""

import hashlib
import importlib
import sys
from pathlib import Path

import pytest
from suites_for_tests import TINY, edited

from dtcbench import registry
from dtcbench.records.lookup import run_named

SOURCE = """
import numpy as np

from dtcbench.dtc.selection import Method, Scores
from dtcbench.registry import register_method


@register_method("installed")
class Installed(Method):
    drop = "smallest"

    def scores(self, group):
        return Scores(np.arange(group.width, dtype=np.float64))
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """`installed(source)`: the module `bench_extras` with this source, as an environment that holds it has it."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "site" / "bench_extras.py"
    file.parent.mkdir()
    text = edited(TINY, ("[dtc, magnitude]", "[installed]"), ("    solvers: [lars]\n", ""))
    (tmp_path / "tiny.yaml").write_text(text)

    def install(source):
        file.write_text(source)
        uninstall()
        importlib.invalidate_caches()
        importlib.import_module("bench_extras")
        return hashlib.sha256(source.encode()).hexdigest()

    yield install
    uninstall()


def uninstall():
    registry.methods._entries.pop("installed", None)
    sys.modules.pop("bench_extras", None)


def test_its_digest_is_in_the_records_of_the_cells_that_name_it(installed, dtcbench):
    digest = installed(SOURCE)
    assert dtcbench("run", "tiny.yaml", "--inline").code == 0
    records = run_named("tiny").read().attempts
    plugins = {r.cell.method.name: r.provenance.plugins for attempts in records.values() for r in attempts}
    assert plugins == {"dense": {}, "installed": {"bench_extras": digest}}
    assert f"made with plug-in bench_extras ({digest[:12]})" in dtcbench("check", "tiny").out


def test_a_run_is_not_continued_with_another_version_of_it(installed, dtcbench):
    before = installed(SOURCE)
    assert dtcbench("run", "tiny.yaml", "--inline").code == 0
    now = installed(SOURCE.replace("np.arange(group.width", "-np.arange(group.width"))
    ended = dtcbench("run", "tiny.yaml", "--inline")
    assert ended.code == 2
    assert f"another plug-in bench_extras (SHA-256 {before[:12]} then, {now[:12]} now)" in ended.err


def test_its_digest_is_of_the_source_that_was_imported_not_of_what_the_file_holds_since(installed, tmp_path):
    digest = installed(SOURCE)
    (tmp_path / "site" / "bench_extras.py").write_text(SOURCE + "# edited while a run is under way\n")
    assert registry.plugins_of([("method", "installed")], []) == {"bench_extras": digest}


def test_a_value_that_was_made_elsewhere_comes_from_the_module_that_registers_it(installed):
    digest = installed(
        "import functools\nfrom dtcbench.methods.random import Random\nfrom dtcbench.registry import methods\n"
        'methods.register("installed")(functools.partial(Random))\n'
    )
    assert registry.methods.entry("installed").plugin == "bench_extras"
    assert registry.plugins_of([("method", "installed")], []) == {"bench_extras": digest}


@pytest.mark.parametrize("merged", [False, True], ids=["run", "merged"])
def test_going_on_without_it_names_it_its_digest_and_both_remedies(installed, dtcbench, merged):
    digest = installed(SOURCE)
    assert dtcbench("run", "tiny.yaml", "--inline").code == 0
    folder = "runs/tiny"
    if merged:
        assert dtcbench("run", "tiny.yaml", "--inline", "--out", "again").code == 0
        assert dtcbench("merge", "tiny", "again", "--out", "both").code == 0
        (folder,) = [path.parent for path in Path("both").rglob("suite.yaml")]
    uninstall()
    ended = dtcbench("reproduce", folder)
    assert ended.code == 2
    source = f"plug-in bench_extras (SHA-256 {digest}; install it, or give its file with --plugin)"
    assert f"method 'installed' comes from {source}, which is not loaded" in " ".join(ended.err.split())
