"""The site: every page there, every link leading somewhere, nothing from elsewhere, the same bytes again."""

import hashlib
import html
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from suites_for_tests import TINY, edited
from tampering import content, records, reseal
from typer.testing import CliRunner

from dtcbench import cli
from dtcbench.plan import shipped
from dtcbench.plan.cell import Cell
from dtcbench.report.site.suite_page import filters

PAPER = "https://arxiv.org/abs/2505.23869"


@pytest.fixture(scope="session")
def site_of(tmp_path_factory):
    """`site_of(dtcbench, run, …)`: the folder of the runs' site."""

    def make(dtcbench, *runs, **options) -> Path:
        out = tmp_path_factory.mktemp("site") / "site"
        more = [argument for name, value in options.items() for argument in (f"--{name}", value)]
        ended = dtcbench("site", *runs, "--out", out, *more)
        assert ended.code == 0, ended.out + ended.err
        return out

    return make


@pytest.fixture(scope="module")
def site(finished, tmp_path_factory):
    """The site of the finished run; only to be read."""
    out = tmp_path_factory.mktemp("site") / "site"
    ended = CliRunner().invoke(cli.app, ["site", str(finished), "--out", str(out)])
    assert ended.exit_code == 0, ended.output
    return out


def pages(site: Path) -> dict[str, str]:
    return {str(path.relative_to(site)): path.read_text() for path in sorted(site.rglob("*.html"))}


def volume(site: Path) -> Path:
    (folder,) = (site / "tiny").iterdir()
    return folder


def references(page: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'(?:href|src)="([^"]*)"', page)]


def test_there_is_a_page_for_every_suite_method_and_cell(site, finished):
    folder = volume(site)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*.html")}
    cells = {f"cells/{path.name.partition('.')[0]}.html" for path in records(finished)}
    assert len(cells) == 9
    assert names == {"index.html", "methods/dense.html", "methods/dtc-lars.html", "methods/magnitude.html", *cells}
    assert {path.name for path in site.iterdir()} == {"index.html", "claims.html", "findings.html", "assets", "tiny"}


def test_every_link_leads_to_a_file_and_nothing_is_loaded_from_elsewhere(site):
    for name, page in pages(site).items():
        for link in references(page):
            file, _, anchor = unquote(link).partition("#")
            leads_to = (site / name).parent.joinpath(file).resolve()
            assert link == PAPER or leads_to.is_file(), (name, link)
            assert not anchor or f'id="{anchor}"' in leads_to.read_text(), (name, link)
        assert "default-src 'none'" in html.unescape(page)
        assert "unsafe-inline" not in re.search(r"script-src [^;]*", page)[0]


def test_every_page_can_be_reached_from_the_first(site):
    seen, ahead = set(), [site / "index.html"]
    while ahead:
        page = ahead.pop().resolve()
        if page in seen or page.suffix != ".html":
            continue
        seen.add(page)
        ahead += [page.parent / link.partition("#")[0] for link in references(page.read_text()) if link != PAPER]
    assert seen == {path.resolve() for path in site.rglob("*.html")}


def test_the_same_records_give_the_same_bytes_wherever_the_site_lies(site, site_of, dtcbench, finished):
    again = site_of(dtcbench, finished)
    files = [path.relative_to(site) for path in site.rglob("*") if path.is_file()]
    assert len(files) > 15
    assert all((site / name).read_bytes() == (again / name).read_bytes() for name in files)


def test_a_cells_page_holds_its_whole_configuration_whose_hash_is_its_key(site):
    for path in (volume(site) / "cells").iterdir():
        (text,) = re.findall(r"<pre tabindex=\"0\">(\{.*?\})</pre>", path.read_text(), re.DOTALL)
        cell = Cell(**json.loads(html.unescape(text)))
        assert f"{cell.key}.html" == path.name
        assert hashlib.sha256(cell.canonical_json.encode()).hexdigest() == cell.key


@pytest.mark.usefixtures("sketched")
def test_the_line_on_a_cells_page_runs_it_again_beside_the_run(site, finished, dtcbench, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / finished.name)
    record = content(records(finished)[4])
    page = (volume(site) / f"cells/{record['key']}.html").read_text()
    (line,) = re.findall(r"dtcbench (run .*?)</pre>", page)
    monkeypatch.chdir(tmp_path)
    ended = dtcbench(*html.unescape(line).split())
    assert ended.code == 0, ended.out + ended.err
    (again,) = (tmp_path / "runs/again/records").iterdir()
    assert content(again)["result"]["accuracy"] == record["result"]["accuracy"]


def test_a_cells_page_shows_every_cycle_and_where_it_ran(site, finished):
    record = content(records(finished)[4])
    page = (volume(site) / f"cells/{record['key']}.html").read_text()
    assert page.count("<tr>") - 1 == len(record["result"]["cycles"]) > 3
    assert f"{100 * record['result']['accuracy']:.2f} %" in page
    assert html.escape(record["provenance"]["hardware_class"]) in page
    assert record["provenance"]["commit"] in page
    assert "not measured (" in page
    drawn = json.loads(re.search(r'data-plot="course">(.*?)</script>', page, re.DOTALL)[1])
    panels = [{point["name"] for point in panel["layer"][-1]["data"]["values"]} for panel in drawn["vconcat"]]
    assert panels == [{"validation"}, {"loss"}, {"hidden0"}, {"hidden0"}]


def test_the_power_of_a_metered_cell_is_drawn_on_its_page(site_of, dtcbench, with_power):
    site = site_of(dtcbench, with_power)
    page = next((volume(site) / "cells").iterdir()).read_text()
    drawn = json.loads(re.search(r'data-plot="power">(.*?)</script>', page, re.DOTALL)[1])
    [panel] = drawn["vconcat"]
    watts = [point["y"] for point in panel["layer"][-1]["data"]["values"] if point["y"] is not None]
    assert max(watts) == pytest.approx(300, rel=0.05)


def test_a_failed_cell_has_a_page_with_its_reason_and_its_stack(run, site_of, dtcbench):
    path = records(run)[5]

    def fail(record):
        record |= {"status": "error", "reason": "it <b>broke</b>", "detail": "Traceback: <i>here</i>"}
        nothing = dict.fromkeys(("result", "energy"))
        record |= {**nothing, "reasons": record["reasons"] | dict.fromkeys(nothing, "it broke")}

    reseal(path, fail)
    site = site_of(dtcbench, run)
    page = (volume(site) / f"cells/{path.name.partition('.')[0]}.html").read_text()
    assert "error: it &lt;b&gt;broke&lt;/b&gt;" in page
    assert "Traceback: &lt;i&gt;here&lt;/i&gt;" in page
    assert f'href="cells/{path.name.partition(".")[0]}.html"' in (volume(site) / "index.html").read_text()


def test_a_cell_that_has_not_run_has_a_page_that_says_so(run, site_of, dtcbench):
    path = records(run)[5]
    path.unlink()
    page = (volume(site_of(dtcbench, run)) / f"cells/{path.name.partition('.')[0]}.html").read_text()
    assert "missing: not run yet" in page
    assert "--cell " in page


def test_a_methods_page_lists_its_cells_beside_dense(site, finished):
    page = (volume(site) / "methods/dtc-lars.html").read_text()
    dense, ours = (
        {content(path)["cell"]["seed"]: content(path)["result"]["accuracy"] for path in records(finished)
         if content(path)["cell"]["method"]["name"] == method}
        for method in ("dense", "dtc")
    )  # fmt: skip
    for seed, accuracy in ours.items():
        assert f"{100 * (accuracy - dense[seed]):+z.2f}".replace("-", "−") in page
    assert page.count('href="../cells/') == 3
    assert "lars(max_iterations=" in page


def test_a_suite_that_no_claim_counts_decides_nothing_and_the_page_says_why(site):
    page = (site / "claims.html").read_text()
    assert page.count('class="verdict not-measured"') == len(shipped.names("claim"))
    assert "no cell that counts: suites claims" in page


@pytest.mark.usefixtures("sketched")
def test_every_claim_has_a_figure_where_there_is_a_comparison(site_of, dtcbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    methods = ("methods: [dtc, magnitude]", "methods: [dtc, random, scratch]")
    named = ("name: tiny", "name: claims")
    Path("tiny.yaml").write_text(
        edited(TINY, named, ("seeds: 1", "seeds: 5"), ("[16]", "[128]"), ("steps: 30", "steps: 60"), methods)
    )
    assert dtcbench("run", "tiny.yaml", "--inline", "--out", "my runs/tiny").code == 0
    site = site_of(dtcbench, "my runs/tiny")
    assert "dtcbench run &#39;my runs/tiny/suite.yaml&#39; --inline" in next(site.rglob("cells/*")).read_text()
    page = (site / "claims.html").read_text()
    drawn = re.findall(r'data-plot="claim-(\w+)-', page)
    assert drawn == ["3b", "4", "6a", "8a", "8b"]  # no other rival, no joules
    assert "<summary>2 comparisons</summary>" in page
    assert "reaching almost ~98% reduction in energy use" in page


def test_words_of_a_suite_and_of_the_opening_are_never_markup_of_the_page(run, site_of, dtcbench, tmp_path):
    suite, opening = run / "suite.yaml", tmp_path / "opening.md"
    suite.write_text(suite.read_text().replace("Does it run?", "'<script>alert(1)</script>'"))
    hostile = "<script>alert(2)</script>\n\n[x](javascript:alert(3))"
    opening.write_text(f"# Found\n\n*Little*.\n\n{hostile}\n\n|a|b|\n|-|-|\n|1|2|\n")
    site = site_of(dtcbench, run, opening=opening)
    for page in pages(site).values():
        assert not re.search(r"<script>|href=\"javascript", page)
    first = (site / "findings.html").read_text()
    assert "<em>Little</em>" in first
    assert "<td>1</td>" in first
    assert "&lt;script&gt;alert(2)" in first


def test_a_link_of_the_opening_out_of_the_site_is_its_words_and_the_file(site_of, dtcbench, run, tmp_path):
    opening = tmp_path / "opening.md"
    opening.write_text("By [its *own* rules](../docs/rules.md#two), [docs/a.md](../docs/a.md), [a claim](claims.html).")
    page = (site_of(dtcbench, run, opening=opening) / "findings.html").read_text()
    assert '<p>By its <em>own</em> rules (docs/rules.md), docs/a.md, <a href="claims.html">a claim</a>.</p>' in page


def test_two_runs_of_one_suite_have_folders_of_their_own(site_of, dtcbench, finished, with_power, tmp_path):
    other = shutil.copytree(finished, tmp_path / "other")
    site = site_of(dtcbench, finished, other, with_power)
    assert len(list((site / "tiny").iterdir())) == 3
    assert (site / "index.html").read_text().count('data-filter="hardware"') == 1


def test_a_site_made_again_keeps_no_page_of_before_and_all_that_is_not_its_own(dtcbench, finished, run, tmp_path):
    out = tmp_path / "out"
    assert dtcbench("site", finished, "--out", out).code == 0
    stale, kept = [out / "tiny" / "gone.html", out / "assets" / "old.js"], [out / "CNAME", out / ".git" / "page.html"]
    (out / ".git").mkdir()
    for path in (*stale, *kept):
        path.write_text("here")
    assert dtcbench("site", finished, "--out", out).code == 0
    assert not any(path.exists() for path in stale)
    assert all(path.read_text() == "here" for path in kept)


def test_a_folder_that_is_no_site_is_left_alone(dtcbench, finished, tmp_path):
    (tmp_path / "thesis.tex").write_text("three years")
    ended = dtcbench("site", finished, "--out", tmp_path)
    assert ended.code == 2
    assert (
        f"{tmp_path} is not empty and holds no site; move it away, or make the site with --out elsewhere" in ended.err
    )
    assert (tmp_path / "thesis.tex").read_text() == "three years"


def test_an_opening_that_is_not_there_is_named(dtcbench, finished, tmp_path):
    ended = dtcbench("site", finished, "--out", tmp_path / "s", "--opening", tmp_path / "no.md")
    assert (ended.code, f"--opening {tmp_path / 'no.md'}: no such file" in ended.err) == (2, True)


def test_a_page_is_filtered_by_what_tells_rows_apart_alone():
    rows = [{"model": "a", "dataset": "x"}, {"model": "b", "dataset": "x"}]
    (facet,) = filters(rows, {"model": "Model", "dataset": "Data set"})
    assert facet == ("model", "Model", ["a", "b"])
