"""What this repository publishes keeps its own rules, and is what its records give."""

import re
import shutil
from pathlib import Path

import pytest
from tampering import content, records

from dtcbench.publish import results
from dtcbench.publish.bundle import PUBLISHED
from dtcbench.publish.examine import examine
from dtcbench.publish.findings import bars
from dtcbench.publish.opening import Answers, rendered
from dtcbench.publish.results import bundles, on_site
from dtcbench.records.run import Run
from dtcbench.records.store import file_kind

RESULTS = Path(__file__).parents[2] / "results"
BUNDLES = {f"{store.root.parent.name}/{store.root.name}": store for store in bundles(RESULTS)}


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder of results."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    """The folder rebuilt of its sources alone, and by bundle what was found in it, if anything."""
    copy = tmp_path_factory.mktemp("rebuilt") / "results"
    for path in (path for path in RESULTS.rglob("*") if path.is_file()):
        name = path.relative_to(RESULTS)
        in_bundle = file_kind("/".join(name.parts[2:])) if len(name.parts) > 2 else None
        if in_bundle in PUBLISHED or path.name == results.TEMPLATE:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / name)
    shutil.copytree(RESULTS.parent / "docs/published", copy.parent / "docs/published")  # which the findings name
    found = {}

    def examined(store):
        findings, run = examine(store)
        found[f"{store.root.parent.name}/{store.root.name}"] = findings
        return findings, run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "write_site", lambda *_: [])  # beside the results and not among them
        patch.setattr(results, "examine", examined)
        results.rebuild(copy)
    return copy, found


@pytest.mark.parametrize("name", BUNDLES)
def test_every_bundle_keeps_every_rule(name, rebuilt):
    """The suite `published` leaves out some dense cells, and says why: nothing bars publishing."""
    found = rebuilt[1][name]
    assert not bars(found)
    assert {finding.rule for finding in found} <= ({"pairs"} if name.startswith("published/") else set())


def test_every_suite_that_two_cores_can_run_is_there():
    assert {name.partition("/")[0] for name in BUNDLES} == {"quick", "published", "ablation", "lenet", "claims"}


def test_what_records_suites_and_findings_give_is_all_there_is_to_the_byte(rebuilt):
    assert files(rebuilt[0]) == files(RESULTS)


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


def test_the_findings_of_the_docs_are_what_the_records_give():
    (bundle,) = (store.root for name, store in BUNDLES.items() if name.startswith("lenet/"))
    ours, theirs = (accuracies(bundle, "lenet-300-100", method, 0.95) for method in ("dtc", "magnitude"))
    page = (RESULTS.parent / "docs/findings.md").read_text(encoding="utf-8")
    source = re.search(r"```jinja\n(.*?)```", page, re.DOTALL)[1]
    text = rendered(source, "findings.md", Answers(list(on_site([Run(bundle)])), (), RESULTS.parent))
    behind = sum(theirs[seed] - ours[seed] for seed in ours) / len(ours)
    assert len(ours) == len(theirs) >= 5
    assert f"At 95 % of LeNet-300-100 DTC is {100 * behind:.1f} points behind magnitude (−{100 * behind:.2f} [" in text
    assert '"almost ~98% reduction in energy use"' in text
