"""From a run to results: refused with the reasons, or copied whole; rebuilt from the bundles to the same bytes."""

import gzip
import shutil
from pathlib import Path

import pytest
import yaml
from tampering import content, records, reseal
from typer.testing import CliRunner

from dtcbench import cli
from dtcbench.publish import bundle as bundling
from dtcbench.records.compressed import content_of


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture(scope="module")
def published_once(finished, tmp_path_factory):
    """A folder with the finished run as results and as a site; only to be read."""
    folder = tmp_path_factory.mktemp("published")
    ended = CliRunner().invoke(cli.app, ["publish", str(finished), "--results", str(folder / "results")])
    assert ended.exit_code == 0, ended.output
    return folder


@pytest.fixture
def published(published_once, results):
    """The bundle of the finished run, to be changed."""
    shutil.copytree(published_once, results.parent, dirs_exist_ok=True)
    (bundle,) = (results / "tiny").iterdir()
    return bundle


OF_A_BUNDLE = ("md", "csv", "tex")
"""Of the leaderboard's files, those that are published."""


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def derived(results: Path) -> list[Path]:
    return [
        path
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.name not in ("suite.yaml", "names.json")
        and path.parent.name not in ("records", "power")
    ]


def test_a_bundle_holds_what_others_need_and_nothing_of_the_machine(finished, published):
    names = {name.partition("/")[0] for name in files(published)}
    assert names == {
        "README.md",
        "suite.yaml",
        "names.json",
        "records",
        "tables",
        *(f"leaderboard.{end}" for end in OF_A_BUNDLE),
    }
    assert {path.name: content_of(path) for path in (published / "records").iterdir()} == {
        f"{path.name}.gz": content_of(path) for path in (finished / "records").iterdir()
    }
    assert published.name.startswith("cpu-")


def test_a_plain_record_of_an_older_bundle_is_not_published_twice(finished, published, results, dtcbench):
    for path in list((published / "records").iterdir()):
        path.with_suffix("").write_bytes(content_of(path))
        path.unlink()
    before = files(published)
    assert dtcbench("publish", finished, "--results", results).code == 0
    assert files(published) == before


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"x" * (2**26 + 1))], ids=["empty", "text", "bomb"])
def test_a_packed_record_that_cannot_be_unpacked_is_found(published, content, found):
    records(published)[0].write_bytes(content)
    assert any(
        line.startswith("error: seals: records/") and "truncated or not JSON" in line for line in found(published)
    )


def test_the_power_of_a_metered_run_comes_along(with_power, results, dtcbench):
    assert dtcbench("publish", with_power, "--results", results).code == 0
    bundle = results / "tiny" / "nvidia-h200-139-gib-700-w"
    assert files(bundle / "power") == files(with_power / "power")
    assert "config_name: power" in (bundle / "README.md").read_text()
    assert dtcbench("check", bundle).out == "nothing bars publishing\n"


def test_what_was_published_keeps_every_rule(published, dtcbench):
    ended = dtcbench("check", published)
    assert (ended.code, ended.out) == (0, "nothing bars publishing\n")


def test_a_run_that_breaks_a_rule_is_refused_with_the_reason_and_nothing_is_written(run, results, dtcbench):
    reseal(records(run)[2], lambda record: record["provenance"].update(commit_clean=False))
    ended = dtcbench("publish", run, "--results", results)
    assert ended.code == 1
    assert "error: provenance: records/" in ended.out
    assert not results.exists()


def test_a_stale_table_of_the_run_is_no_obstacle_for_it_is_made_again(run, finished, results, dtcbench):
    (run / "leaderboard.md").write_text("all is well")
    assert dtcbench("publish", run, "--results", results).code == 0
    (bundle,) = (results / "tiny").iterdir()
    assert (bundle / "leaderboard.md").read_bytes() == (finished / "leaderboard.md").read_bytes()


def test_deleting_what_is_derived_and_rebuilding_gives_the_same_bytes(published, results, dtcbench):
    before = files(results)
    for path in derived(results):
        path.unlink()
    assert len(files(results)) == 11  # nine records, a suite and its names
    assert dtcbench("publish", "--results", results).code == 0
    assert files(results) == before


def test_a_folder_where_the_site_would_lie_is_left_alone_and_nothing_is_published(finished, results, dtcbench):
    building = results.parent / "site"
    building.mkdir()
    (building / "plan.txt").write_text("bricks")
    ended = dtcbench("publish", finished, "--results", results)
    assert (ended.code, f"{building} is not empty and holds no site" in ended.err) == (2, True)
    assert not (results / "README.md").exists()
    assert [path.name for path in building.iterdir()] == ["plan.txt"]


def test_publishing_again_changes_nothing(finished, published, results, dtcbench):
    before = files(results)
    ended = dtcbench("publish", finished, "--results", results)
    assert ended.code == 0
    assert f"{published}: 0 files copied" in ended.out
    assert files(results) == before


def test_a_bundle_grows_by_what_the_run_gained(run, results, dtcbench):
    suite, late = run / "suite.yaml", [path for path in records(run) if content(path)["cell"]["seed"] == 2]
    whole, set_aside = suite.read_text(), run.parent / "late"
    set_aside.mkdir()
    for path in late:
        shutil.move(path, set_aside)
    suite.write_text(whole.replace("seeds: 3", "seeds: 2"))
    assert dtcbench("publish", run, "--results", results).code == 0
    for path in late:
        shutil.move(set_aside / path.name, path)
    suite.write_text(whole)
    ended = dtcbench("publish", run, "--results", results)
    assert ended.code == 0
    assert ": 4 files copied" in ended.out  # three records and the suite
    assert "9 of 9 cells ok" in (results / "README.md").read_text()


def test_a_published_record_is_never_overwritten(run, published, results, dtcbench):
    reseal(records(run)[3], lambda record: record["result"].update(validation_accuracy=0.5))
    before = files(results)
    ended = dtcbench("publish", run, "--results", results)
    assert ended.code == 2
    assert f"{published} holds another records/" in ended.err
    assert files(results) == before


def test_a_tampered_bundle_stops_the_rebuilding_of_all(published, results, dtcbench):
    before = files(results)
    records(published)[0].unlink()
    ended = dtcbench("publish", "--results", results)
    assert ended.code == 2
    assert f"{published} breaks the rules of publishing; mend or remove it:" in ended.err
    assert "error: cells: cell" in ended.err
    assert (results / "README.md").read_bytes() == before["README.md"]


def test_an_extra_file_in_a_bundle_is_refused_also_one_that_a_run_would_have(published, dtcbench):
    (published / "ray.log").write_text("…")
    ended = dtcbench("check", published)
    assert ended.code == 1
    assert "error: files: ray.log: no file of a run; remove it" in ended.out


def test_a_bundle_without_its_tables_is_refused(published, dtcbench):
    (published / "tables/cells.parquet").unlink()
    ended = dtcbench("check", published)
    assert ended.code == 1
    assert "error: derived: tables/cells.parquet: it is missing; `dtcbench publish` builds it" in ended.out


def test_a_card_that_says_something_else_is_refused(published, dtcbench):
    card = published / "README.md"
    card.write_text(card.read_text() + "\nDTC wins.\n")
    assert "error: derived: README.md: it is not what the records give" in dtcbench("check", published).out


# the pages


def front_matter(bundle: Path) -> dict:
    _, head, _ = (bundle / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head)


def test_the_card_names_every_table_for_a_hub(published):
    head = front_matter(published)
    assert head["license"] == "unknown"
    assert [config["data_files"] for config in head["configs"]] == ["tables/cells.parquet", "tables/cycles.parquet"]
    assert all((published / config["data_files"]).is_file() for config in head["configs"])
    assert [config["config_name"] for config in head["configs"] if config.get("default")] == ["cells"]


def test_who_publishes_names_the_licence_and_the_bundle_still_passes(published, results, dtcbench):
    (results / "LICENCE").write_text("cc-by-4.0\n")
    assert dtcbench("publish", "--results", results).code == 0
    assert front_matter(published)["license"] == "cc-by-4.0"
    assert dtcbench("check", published).code == 0
    (results / "LICENCE").write_text("do what you\nlike")
    ended = dtcbench("publish", "--results", results)
    assert (ended.code, "is not a licence's name; write one word such as cc-by-4.0" in ended.err) == (2, True)


def test_the_readme_opens_with_what_was_found_and_holds_every_bundles_tables(published, results, dtcbench):
    (results / "FINDINGS.md").write_text("# What we found\n\nNothing *yet*.\n")
    assert dtcbench("publish", "--results", results).code == 0
    text = (results / "README.md").read_text()
    assert text.startswith("# What we found\n\nNothing *yet*.\n\n- [tiny on CPU ")
    assert "<em>yet</em>" in (results.parent / "site/findings.html").read_text()
    table = [line for line in (published / "leaderboard.md").read_text().splitlines() if line.startswith("|")]
    assert len(table) == 5
    assert all(line in text for line in table)
    assert f"tiny/{published.name}" in text


def test_nothing_of_a_suite_is_read_as_markup(run, results, dtcbench):
    suite = run / "suite.yaml"
    suite.write_text(suite.read_text().replace("Does it run?", "'<script>alert(1)</script> [x](javascript:1)'"))
    assert dtcbench("publish", run, "--results", results).code == 0
    page = (results.parent / "site/index.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    (bundle,) = (results / "tiny").iterdir()
    for text in ((results / "README.md").read_text(), (bundle / "README.md").read_text()):
        assert r"\<script\>alert(1)" in text
        assert "<script>" not in text


@pytest.mark.parametrize("name", ["Tiny", "a b", "<b>"])
def test_a_folder_among_the_results_that_is_no_suites_is_refused(published, results, dtcbench, name):
    (results / name).mkdir()
    ended = dtcbench("publish", "--results", results)
    assert ended.code == 2
    assert "neither a suite's nor a bundle's folder; remove or rename it" in ended.err


def test_a_link_among_the_results_is_refused(published, results, tmp_path, dtcbench):
    (results / "away").symlink_to(tmp_path)
    assert dtcbench("publish", "--results", results).code == 2


def test_no_results_yet_is_a_mistake(results, dtcbench):
    ended = dtcbench("publish", "--results", results)
    assert ended.code == 2
    assert "no such folder; `dtcbench publish RUN` makes it" in ended.err


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        (["NVIDIA H200, 139 GiB, 700 W"], "nvidia-h200-139-gib-700-w"),
        (["CPU B, 2 cores", "CPU A, 2 cores"], "cpu-a-2-cores--cpu-b-2-cores"),
        (["../../etc"], "etc"),
        (["…"], "unknown-hardware"),
        ([], "unknown-hardware"),
    ],
)
def test_a_bundles_folder_is_named_after_the_hardware(classes, name):
    assert bundling.slug(classes) == name


def test_samples_that_no_record_speaks_of_are_left_out(gpu_run, results, dtcbench):
    path = sorted((gpu_run / "power").iterdir())[0]
    shutil.copy(path, path.with_name(f"{'0' * 64}.1.parquet"))
    assert dtcbench("publish", gpu_run, "--results", results).code == 0
    bundle = results / "tiny" / "nvidia-h200-139-gib-700-w"
    assert len(list((bundle / "power").iterdir())) == 9
    assert dtcbench("check", bundle).code == 0


def test_a_bundle_with_its_page_and_figures_made_still_passes(published, dtcbench):
    assert not (published / "figures").exists()
    assert dtcbench("report", published).code == 0
    assert (published / "leaderboard.html").exists()
    assert list((published / "figures").glob("*.pdf"))
    ended = dtcbench("check", published)
    assert ended.code == 0, ended.out


def test_the_rules_that_were_sealed_come_along_and_are_verified(run, results, dtcbench, found):
    suite = (run / "suite.yaml").read_text()
    (run.parent / "sealed.yaml").write_text(suite)
    assert dtcbench("plan", run.parent / "sealed.yaml", "--out", run, "--seal").code == 0
    assert [line for line in found(run) if "rules" in line] == [
        next(line for line in found(run) if "rules.json: rules fixed as" in line and "after the first cell" in line)
    ]
    assert dtcbench("publish", run, "--results", results).code == 0
    (bundle,) = (results / "tiny").iterdir()
    assert (bundle / "rules.json").read_bytes() == (run / "rules.json").read_bytes()
    assert "rule fixed as" in (results / "README.md").read_text()
    altered = (bundle / "rules.json").read_text().replace("share_of_dense_error: 0.2", "share_of_dense_error: 0.9")
    (bundle / "rules.json").write_text(altered)
    assert any(line.startswith("error: rules: rules.json: ") for line in found(bundle))
