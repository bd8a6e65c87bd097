"""The site as a reader uses it, in a headless Chromium: sorting, filtering, opening a cell, on a phone, with axe."""

import contextlib
import csv
import re
from pathlib import Path

import pytest
from browser import PHONE, draw_all, expect, overhang, serious
from sketches import sketches
from suites_for_tests import TINY, edited
from typer.testing import CliRunner

from dtcbench import cli
from dtcbench.publish.opening import Answers
from dtcbench.publish.results import on_site, write_site
from dtcbench.records.run import Run
from dtcbench.report.build import on_paper
from dtcbench.report.site.pages import judge

pytestmark = pytest.mark.browser

WIDER = edited(
    TINY,
    ("[{name: mlp, widths: [16]}]", "[{name: mlp, widths: [16]}, {name: mlp, widths: [24]}]"),
    ("methods: [dtc, magnitude]", "methods: [dtc, random]"),
    ("seeds: 1", "seeds: 5"),
)
"""Two networks and five seeds, so that there is something to filter by and something to say of the claims."""


@pytest.fixture(scope="module")
def site(with_power, tmp_path_factory):
    """The site of a metered run and of one that says something of the claims."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "wider.yaml").write_text(WIDER.replace("name: tiny", "name: claims"))
    with contextlib.chdir(folder), sketches():
        for command in (["run", "wider.yaml", "--inline"], ["site", "runs/claims", str(with_power), "--out", "site"]):
            ended = CliRunner().invoke(cli.app, command)
            assert ended.exit_code == 0, ended.output
    return folder / "site"


def pages(site: Path) -> dict[str, Path]:
    """One page of each kind."""
    return {
        "overview": site / "index.html",
        "claims": site / "claims.html",
        "suite": next(site.glob("claims/*/index.html")),
        "method": next(site.glob("claims/*/methods/dtc-lars.html")),
        "cell": sorted(site.glob("tiny/*/cells/*.html"))[0],
    }


def test_a_figure_that_the_findings_ask_for_is_drawn(site, tmp_path, visit):
    runs = list(on_site([Run(site.parent / "runs" / "claims")]))
    judged = judge(runs, None)
    answers = Answers(runs, judged, tmp_path)
    opening = f"# Found\n\n{answers.figure('3b-choice-against-random')}\n"
    figures = {name: on_paper(drawing, "svg") for name, drawing in answers.figures.items()}
    write_site(tmp_path / "site", runs, opening, judged, figures)
    image = visit(tmp_path / "site" / "findings.html").page.locator("img")
    expect(image).to_have_count(1)
    assert image.evaluate("image => image.naturalWidth") > 0


def chosen(page, facet: str):
    """What the rows are filtered by in one respect."""
    return page.locator(f"select[data-filter={facet}]")


KINDS = ("overview", "claims", "suite", "method", "cell")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_page_opens_without_a_complaint_and_draws_all_it_has(site, visit, kind):
    opened = visit(pages(site)[kind])
    expect(opened.page.locator("h1")).to_have_count(1)
    figures = {"overview": 1, "claims": 4, "suite": 6, "method": 6, "cell": 2}[kind]
    expect(opened.page.locator("div.plot")).to_have_count(figures)
    assert draw_all(opened.page) == figures
    assert (opened.errors, opened.requests) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_serious(site, visit, kind, scheme):
    assert serious(visit(pages(site)[kind], scheme=scheme).page) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_phone_never_scrolls_a_page_sideways(site, visit, kind):
    assert overhang(visit(pages(site)[kind], size=PHONE).page) == 0


def test_the_overview_sorts_all_rows_by_accuracy(site, visit):
    page = visit(pages(site)["overview"]).page
    table = page.get_by_role("region", name="All rows of all suites")
    table.get_by_role("button", name="Accuracy, %").click()
    place = table.locator("th").all_inner_texts().index("Accuracy, %")
    shown = table.locator(f"tbody td:nth-child({place + 1})").all_inner_texts()
    figures = [float(text.partition(" ")[0]) for text in shown]
    assert len(figures) == 9
    assert figures == sorted(figures)


def test_the_overview_is_filtered_by_model_and_hardware_together(site, visit):
    page = visit(pages(site)["overview"]).page
    rows = page.locator("tr[data-filtered]:visible")
    expect(rows).to_have_count(9)
    chosen(page, "model").select_option("mlp(widths=[24])")
    expect(rows).to_have_count(3)
    expect(page.get_by_role("status")).to_have_text("3 of 9 shown")
    chosen(page, "hardware").select_option("NVIDIA H200, 139 GiB, 700 W")
    expect(rows).to_have_count(0)
    chosen(page, "model").select_option("all")
    expect(rows).to_have_count(3)


def test_a_link_shows_what_its_sender_saw(site, visit):
    page = visit(pages(site)["overview"]).page
    chosen(page, "model").select_option("mlp(widths=[24])")
    page.get_by_role("searchbox").fill("random 50")
    rows = page.locator("tr[data-filtered]:visible")
    expect(rows).to_have_count(1)
    page.goto("about:blank")
    page.go_back()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value("random 50")
    page.evaluate("location.hash = 'model=gone&method=dense'")
    expect(chosen(page, "model")).to_have_value("")
    expect(rows).to_have_count(3)


def test_the_rows_shown_are_a_file_at_a_click_with_all_columns_at_another(site, visit):
    page = visit(pages(site)["suite"]).page
    headings = page.get_by_role("region", name="Leaderboard of").first.locator("th:visible")
    few = headings.count()
    page.get_by_label("All columns").first.check()
    expect(headings).not_to_have_count(few)
    with page.expect_download() as started:
        page.get_by_role("button", name="CSV").first.click()
    assert started.value.suggested_filename.startswith("leaderboard-of-standard")
    lines = Path(started.value.path()).read_text().splitlines()
    assert len(next(csv.reader(lines))) == headings.count() > few
    assert len(lines) == 1 + page.get_by_role("region", name="Leaderboard of").first.locator("tbody tr").count()


SEEN = """() => [...document.querySelectorAll("main *")]
  .filter((part) => !part.children.length && part.checkVisibility())
  .filter((part) => part.getBoundingClientRect().bottom < innerHeight)
  .map((part) => part.textContent).join(" ")"""
"""What stands wholly on the first screen."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_screen_of_each_page_holds_a_number(site, visit, kind):
    seen = visit(pages(site)[kind]).page.evaluate(SEEN)
    assert re.search(r"\d\.\d+ (%|points)|\d trainings", seen), seen


def test_from_the_overview_to_a_cell_and_back(site, visit):
    opened = visit(pages(site)["overview"])
    page = opened.page
    chosen(page, "method").select_option("random")
    page.locator("tr[data-filtered]:visible a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("random")
    page.get_by_role("region", name="Cells of random").get_by_role("link").first.click()
    title = re.compile(r"^random mlp\(widths=\[16\]\) digits 0\.5 seed \d$")
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.get_by_role("heading", name="Run it again")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="All rows")).to_be_visible()
    assert (opened.errors, opened.requests) == ([], [])


def test_a_claim_leads_to_the_cells_it_rests_on(site, visit):
    page = visit(pages(site)["claims"]).page
    page.get_by_text(re.compile(r"^\d+ cells it rests on$")).nth(1).click()
    key = page.locator("details[open] a").first.inner_text()
    page.locator("details[open] a").first.click()
    assert key in page.url
    expect(page.get_by_role("heading", name="Configuration")).to_be_visible()
