"""What this repository publishes keeps its own rules, and is what its records give."""

import re
import shutil
from pathlib import Path

import pytest
from tampering import content, records

from dtcbench.publish import results
from dtcbench.publish.examine import check
from dtcbench.publish.findings import bars
from dtcbench.publish.opening import Answers, rendered
from dtcbench.publish.results import bundles, on_site, rebuild
from dtcbench.records.run import Run

RESULTS = Path(__file__).parents[2] / "results"
BUNDLES = {f"{store.root.parent.name}/{store.root.name}": store for store in bundles(RESULTS)}


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder of results."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", BUNDLES)
def test_every_bundle_keeps_every_rule(name):
    """The suite `published` leaves out some dense cells, and says why: nothing bars publishing."""
    found = check(BUNDLES[name])
    assert not bars(found)
    assert {finding.rule for finding in found} <= ({"pairs"} if name.startswith("published/") else set())


def test_every_suite_that_two_cores_can_run_is_there():
    assert {name.partition("/")[0] for name in BUNDLES} == {"quick", "published", "ablation", "lenet", "claims"}


def test_deleting_what_is_derived_and_rebuilding_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "write_site", lambda *_: [])  # beside the results and not among them
    copy = shutil.copytree(
        RESULTS,
        tmp_path / "results",
        ignore=shutil.ignore_patterns("tables", "README.md", "leaderboard.*", "FINDINGS.md", "*.svg"),
    )
    shutil.copytree(RESULTS.parent / "docs/published", tmp_path / "docs/published")  # which the findings name
    rebuild(copy)
    assert files(copy) == files(RESULTS)


@pytest.mark.parametrize("suite", ["published", "quick"])
def test_a_site_can_be_made_of_what_is_published(suite, tmp_path, dtcbench):
    (bundle,) = (store.root for name, store in BUNDLES.items() if name.startswith(f"{suite}/"))
    assert dtcbench("site", bundle, "--out", tmp_path / "site").code == 0
    pages = {path.stem for path in (tmp_path / "site").rglob("cells/*.html")}
    assert pages == {path.name.partition(".")[0] for path in (bundle / "records").iterdir()}


def accuracies(bundle: Path, model: str, method: str, sparsity: float) -> dict[int, float]:
    """By seed, straight from the records; of the method with its default options."""
    found = {}
    for path in records(bundle):
        record = content(path)
        cell = record["cell"]
        options = cell["method"]["options"]
        if (cell["model"]["name"], cell["method"]["name"], cell["sparsity"], options) == (model, method, sparsity, {}):
            found[cell["seed"]] = record["result"]["accuracy"]
    return found


def test_contributings_findings_are_what_the_records_give():
    (bundle,) = (store.root for name, store in BUNDLES.items() if name.startswith("lenet/"))
    ours, theirs = (accuracies(bundle, "lenet-300-100", method, 0.95) for method in ("dtc", "magnitude"))
    contributing = (RESULTS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    source = re.search(r"```jinja\n(.*?)```", contributing, re.DOTALL)[1]
    text = rendered(source, "CONTRIBUTING.md", Answers(list(on_site([Run(bundle)])), (), RESULTS.parent))
    behind = sum(theirs[seed] - ours[seed] for seed in ours) / len(ours)
    assert len(ours) == len(theirs) >= 5
    assert f"At 95 % of LeNet-300-100 DTC is {100 * behind:.1f} points behind magnitude (−{100 * behind:.2f} [" in text
    assert '"almost ~98% reduction in energy use"' in text
