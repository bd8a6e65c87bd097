"""What this repository publishes keeps its own rules, and is what its records give."""

import shutil
from pathlib import Path

import pytest

from dtcbench.publish import results
from dtcbench.publish.examine import check
from dtcbench.publish.results import bundles, rebuild

RESULTS = Path(__file__).parents[2] / "results"
BUNDLES = {f"{store.root.parent.name}/{store.root.name}": store for store in bundles(RESULTS)}


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder of results."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", BUNDLES)
def test_every_bundle_keeps_every_rule(name):
    assert check(BUNDLES[name]) == []


def test_every_suite_that_two_cores_can_run_is_there():
    assert {name.partition("/")[0] for name in BUNDLES} == {"quick", "published", "ablation", "lenet"}


def test_deleting_what_is_derived_and_rebuilding_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "write_site", lambda *_: [])  # beside the results and not among them
    copy = shutil.copytree(
        RESULTS, tmp_path / "results", ignore=shutil.ignore_patterns("tables", "README.md", "leaderboard.*")
    )
    rebuild(copy)
    assert files(copy) == files(RESULTS)


@pytest.mark.parametrize("suite", ["published", "quick"])
def test_a_site_can_be_made_of_what_is_published(suite, tmp_path, dtcbench):
    (bundle,) = (store.root for name, store in BUNDLES.items() if name.startswith(f"{suite}/"))
    assert dtcbench("site", bundle, "--out", tmp_path / "site").code == 0
    pages = {path.stem for path in (tmp_path / "site").rglob("cells/*.html")}
    assert pages == {path.name.partition(".")[0] for path in (bundle / "records").iterdir()}
