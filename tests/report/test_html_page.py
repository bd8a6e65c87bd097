"""The HTML page: self-contained, escaped, the same bytes every time, and honest about what is absent."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import DESKTOP, PHONE, draw_all, expect, overhang, serious, tab_to

from dtcbench.report import html as pages
from dtcbench.report.site.suite_page import suite_page

if TYPE_CHECKING:
    from playwright.sync_api import Page


def page(leaderboard, cells, cycles, traces) -> str:
    return pages.page(leaderboard.suite, suite_page(leaderboard, cells, cycles, traces))


class Reader(HTMLParser):
    """The page's elements and the text outside its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._is_script = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._is_script = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._is_script = False

    def handle_data(self, data):
        if not self._is_script:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(run):
    return page(run.leaderboard, run.cells, run.cycles, {})


def test_a_page_is_rebuilt_to_the_byte_whatever_the_order_of_its_tables(run, html):
    shuffled = run.shuffled()
    assert page(shuffled.leaderboard, shuffled.cells, shuffled.cycles, {}) == html


def test_a_page_loads_nothing(html):
    reader = Reader(html)
    assert not [tag for tag, attributes in reader.elements if {"src", "href", "srcset"} & set(attributes)]
    own_styles = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    assert "url(" not in own_styles and "@import" not in own_styles
    policy = next(m["content"] for m in reader.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


HOSTILE = "</script><img src=x onerror=alert(1)><a href='https://evil'>&amp;"


def test_hostile_names_and_reasons_stay_text(run):
    tables = run.relabelled("random", HOSTILE)
    tables.cells["reason"] = tables.cells["reason"].where(tables.cells["status"] == "ok", HOSTILE)
    tables.cells["model"] = tables.cycles["model"] = HOSTILE
    leaderboard = replace(tables.leaderboard, suite=HOSTILE, question=HOSTILE)
    reader = Reader(page(leaderboard, tables.cells, tables.cycles, {}))
    assert not reader.all("img") and not reader.all("a")
    assert reader.text.count(HOSTILE) > 10


def test_it_opens_with_the_ends_of_what_its_rows_reached_where_most_was_removed(run):
    rows = run.leaderboard.rows
    still = (rows["method"] == "random") & (rows["sparsity"] == 0.95)  # as of dense-matched: it removed nothing
    reached = rows.assign(sparsity_reached=rows["sparsity_reached"].where(~still, 0.0))
    html = page(replace(run.leaderboard, rows=reached), run.cells, run.cycles, {})
    [answer] = re.findall(r"<p>(On digits .*?)</p>", html)
    at_most = reached[(reached["sparsity"] == 0.95) & (reached["ok"] > 0) & ~still]
    for end in (at_most["accuracy_mean"].min(), at_most["accuracy_mean"].max()):
        assert f"{100 * end:.2f} %" in answer
    assert "random" not in answer and "95.0 % of the neurons removed" in answer


def test_every_cell_that_is_not_ok_is_listed(run, html):
    failures = html[html.index("Cells that are not ok</h2>") : html.index("<h2>Notes")]
    assert failures.count("<tr>") - 1 == (run.cells["status"] != "ok").sum() == 5
    assert "CUDA out of memory: tried to allocate 2.00 GiB" in failures
    assert re.search(r">missing</td>\s*<td[^>]*>–</td>", failures)


def test_without_an_ok_cell_the_page_says_so_and_keeps_its_rows(run):
    failed = run.failed()
    reader = Reader(page(failed.leaderboard, failed.cells, failed.cycles, {}))
    assert "No cell of this suite is ok" in reader.text
    assert not [d for d in reader.all("div") if d.get("class") == "plot"]
    assert reader.text.count("0/3") == len(failed.leaderboard.rows) == 16


def test_a_missing_figure_has_no_value_to_sort_by(html):
    row = next(line for line in re.findall(r"<tr.*?</tr>", html, re.DOTALL) if ">0/3<" in line)
    assert '<td data-value="" class="number">–</td>' in row
    assert set(re.findall(r'<td data-value="([^"]*)"[^>]*>–</td>', html)) == {""}


def test_each_pool_has_its_table_and_its_figures(six_pools):
    reader = Reader(page(six_pools.leaderboard, six_pools.cells, six_pools.cycles, {}))
    plots = [d["id"] for d in reader.all("div") if d.get("class") == "plot"]
    names = ("accuracy-by-sparsity", "accuracy-by-training-flops", "over-cycles")
    assert plots == [f"pool-{n}-{name}" for n in range(1, 7) for name in names]
    summed = six_pools.leaderboard.summary.groupby(["sparsity", "pairs"]).ngroups
    failed = 1
    assert len([t for t in reader.all("table") if t.get("class") == "sortable"]) == 6 + summed + failed


def test_methods_that_measure_nothing_are_named(html):
    assert "These measure nothing and have no entropy: dense, magnitude, random." in html


def test_a_simulated_gpu_is_named_at_the_top(run, html):
    simulated = run.simulated()
    reader = Reader(page(simulated.leaderboard, simulated.cells, simulated.cycles, {}))
    obstacle = "Energy of 43 cells comes from a simulated GPU (Simulated *GPU*): not for publication."
    (banner,) = (p for p in reader.all("p") if p.get("role") == "alert")
    assert banner["class"] == "alarm"
    assert reader.text.index(obstacle) < reader.text.index("Does DTC keep")
    assert 'role="alert"' not in html


def test_every_row_can_be_linked_to(run, html):
    rows = re.findall(r'<tr id="(.*?)">', html)
    assert len(set(rows)) == len(rows) == len(run.leaderboard.rows)
    assert "dtc-lars-95-digits-mlp-widths-256" in rows


def test_never_sorts_above_every_figure(html):
    cells = re.findall(r'<td data-value="([^"]*)" class="number spare">never \(', html)
    assert cells and set(cells) == {"Infinity"}


@pytest.fixture(scope="module")
def file(html, tmp_path_factory):
    """The page as a file, for a browser."""
    return written(html, tmp_path_factory.mktemp("page"))


def written(html: str, folder: Path) -> Path:
    file = folder / "page.html"
    file.write_text(html, encoding="utf-8")
    return file


@pytest.mark.browser
def test_a_browser_draws_every_figure_under_the_pages_own_policy(file, visit):
    opened = visit(file).page
    assert draw_all(opened) == 3
    expect(opened.locator("div.plot").filter(has=opened.locator("svg .role-mark path"))).to_have_count(3)


@pytest.mark.browser
def test_who_points_at_a_row_reads_it_in_words(file, visit):
    opened = visit(file).page
    draw_all(opened)
    opened.locator("div.plot").first.locator(".mark-symbol.role-mark path").first.hover()
    expect(opened.locator("#vg-tooltip-element")).to_contain_text(re.compile(r"removed: accuracy .* %.*, \d seeds?"))


@pytest.mark.browser
def test_a_page_runs_without_an_error_and_asks_for_nothing(file, visit):
    visited = visit(file)
    visited.page.get_by_role("button", name="Accuracy, %").click()
    draw_all(visited.page)
    visited.page.locator("div.plot").first.hover()
    assert visited.errors == visited.requests == []


@pytest.mark.browser
def test_hostile_names_stay_text_in_figures_too(run, visit, tmp_path):
    tables = run.relabelled("random", HOSTILE)
    visited = visit(written(page(tables.leaderboard, tables.cells, tables.cycles, {}), tmp_path))
    draw_all(visited.page)
    assert HOSTILE in visited.page.locator("svg text").all_text_contents()
    assert visited.page.locator("a, img").count() == 0
    assert visited.errors == visited.requests == []


def column(opened: Page, title: str) -> tuple[str | None, list[str]]:
    """How the leaderboard is sorted by this column, and the values it sorts by from the top."""
    table = opened.locator("table").first
    header = table.get_by_role("columnheader", name=title)
    place = header.evaluate("(header) => header.cellIndex") + 1
    values = table.locator(f"tbody td:nth-child({place})").evaluate_all("(cells) => cells.map((c) => c.dataset.value)")
    return header.get_attribute("aria-sort"), values


DIFFERENCE = "Difference to dense, points"
"""A column of negative numbers: as text they would sort the other way round."""


@pytest.fixture
def differences(run):
    """The values of DIFFERENCE as the page holds them, ascending and descending, the missing one last."""
    known = sorted(run.leaderboard.rows["difference_mean"].dropna())
    assert len(known) == len(run.leaderboard.rows) - 1
    return [("ascending", [*map(str, known), ""]), ("descending", [*map(str, reversed(known)), ""])]


@pytest.mark.browser
def test_a_click_on_a_header_sorts_by_number_with_missing_last(file, visit, differences):
    opened = visit(file).page
    for expected in differences:
        opened.get_by_role("button", name=DIFFERENCE).click()
        assert column(opened, DIFFERENCE) == expected


@pytest.mark.browser
@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_header_sorts_by_keyboard_as_by_a_click(file, visit, differences, key):
    opened = visit(file).page
    tab_to(opened, opened.get_by_role("button", name=DIFFERENCE))
    for expected in differences:
        opened.keyboard.press(key)
        assert column(opened, DIFFERENCE) == expected


@pytest.mark.browser
def test_on_a_phone_the_tables_scroll_sideways_and_the_page_does_not(file, visit):
    opened = visit(file, size=PHONE).page
    assert overhang(opened) == 0
    leaderboard = opened.get_by_role("region", name="Leaderboard of")
    tab_to(opened, leaderboard)
    opened.keyboard.press("ArrowRight")
    opened.wait_for_function("() => document.activeElement.scrollLeft > 0", timeout=5000)
    assert opened.evaluate("scrollX") == 0


@pytest.mark.browser
def test_figures_take_on_the_colours_of_the_scheme_when_it_changes(file, visit):
    visited = visit(file)
    opened, colours = visited.page, []
    draw_all(opened)
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)
        colours.append(opened.evaluate("getComputedStyle(document.body).color"))
        for text in opened.locator("div.plot text").all():
            expect(text).to_have_css("fill", colours[-1])
    assert colours[0] != colours[1]
    assert visited.errors == []


@pytest.fixture(scope="module")
def everything(two_pools, tmp_path_factory):
    """A page with all that a page can have: a banner, filters, figures of two data sets, failures."""
    tables = two_pools.simulated()
    html = page(tables.leaderboard, tables.cells, tables.cycles, {})
    return written(html, tmp_path_factory.mktemp("everything"))


@pytest.mark.browser
def test_a_filter_leaves_what_it_names(everything, visit):
    opened = visit(everything).page
    boards, figures = opened.get_by_role("region", name="Leaderboard of"), opened.locator("div.plot:visible")
    opened.get_by_label("Data set").select_option("mnist")
    expect(opened.get_by_role("status")).to_have_text("2 of 5 shown")
    expect(boards).to_have_count(1)
    expect(boards).to_have_accessible_name(re.compile("mnist"))
    expect(figures).to_have_count(3)
    opened.get_by_label("Data set").select_option("all")
    expect(opened.get_by_role("status")).to_be_empty()
    expect(boards).to_have_count(2)
    expect(figures).to_have_count(6)


FILLED = """(plot) => {
  const drawn = plot.querySelector("svg.marks");
  return drawn && Math.abs(drawn.clientWidth - plot.clientWidth) < 20 && drawn.clientHeight <= plot.clientHeight;
}"""
"""Whether a figure fills its place."""


@pytest.mark.browser
def test_figures_fill_their_places_after_every_change_of_window_filter_and_scheme(everything, visit):
    opened = visit(everything).page
    filter = opened.get_by_label("Data set")
    width, height = PHONE
    for change in (
        lambda: opened.emulate_media(color_scheme="dark"),
        lambda: opened.set_viewport_size({"width": width, "height": height}),
        lambda: filter.select_option("mnist"),
        lambda: opened.set_viewport_size({"width": height, "height": width}),
        lambda: filter.select_option("all"),
    ):
        change()
        for plot in opened.locator("div.plot:visible").all():
            plot.scroll_into_view_if_needed()
            opened.wait_for_function(FILLED, arg=plot.element_handle(), timeout=5000)


@pytest.mark.browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(everything, scheme, size, visit):
    found = serious(visit(everything, scheme=scheme, size=size).page)
    assert not found, "\n".join(found)
