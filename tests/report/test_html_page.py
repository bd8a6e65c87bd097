"""The HTML page: self-contained, escaped, the same bytes every time, and honest about what is absent."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from dtcbench.report.html import page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


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
    return page(run.board, run.cells, run.cycles, {})


def test_a_page_is_rebuilt_to_the_byte_whatever_the_order_of_its_tables(run, html):
    shuffled = run.shuffled()
    assert page(shuffled.board, shuffled.cells, shuffled.cycles, {}) == html


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
    board = replace(tables.board, suite=HOSTILE, question=HOSTILE)
    reader = Reader(page(board, tables.cells, tables.cycles, {}))
    assert not reader.all("img") and not reader.all("a")
    assert reader.text.count(HOSTILE) > 10


def test_every_cell_that_is_not_ok_is_listed(run, html):
    failures = html[html.index("Cells that are not ok</h2>") : html.index("<h2>Notes")]
    assert failures.count("<tr>") - 1 == (run.cells["status"] != "ok").sum() == 5
    assert "CUDA out of memory: tried to allocate 2.00 GiB" in failures
    assert re.search(r">missing</td>\s*<td[^>]*>–</td>", failures)


def test_without_an_ok_cell_the_page_says_so_and_keeps_its_rows(run):
    failed = run.failed()
    reader = Reader(page(failed.board, failed.cells, failed.cycles, {}))
    assert "No cell of this suite is ok" in reader.text
    assert not [d for d in reader.all("div") if d.get("class") == "plot"]
    assert reader.text.count("0/3") == len(failed.board.rows) == 16


def test_a_missing_figure_has_no_value_to_sort_by(html):
    row = next(line for line in re.findall(r"<tr>.*?</tr>", html, re.DOTALL) if ">0/3<" in line)
    assert '<td data-value="" class="number">–</td>' in row
    assert set(re.findall(r'<td data-value="([^"]*)"[^>]*>–</td>', html)) == {""}


def test_each_pool_has_its_table_and_its_figures(two_pools):
    reader = Reader(page(two_pools.board, two_pools.cells, two_pools.cycles, {}))
    plots = [d["id"] for d in reader.all("div") if d.get("class") == "plot"]
    assert plots == [f"pool-{n}-{figure}" for n in (1, 2) for figure in ("sparsity", "flops", "cycles")]
    summed = two_pools.board.summary.groupby(["sparsity", "pairs"]).ngroups
    failed = 1
    assert len([t for t in reader.all("table") if t.get("class") == "sortable"]) == 2 + summed + failed


def test_methods_that_measure_nothing_are_named(html):
    assert "These measure nothing and have no entropy: dense, magnitude, random." in html


def test_a_simulated_gpu_is_named_at_the_top(run, html):
    simulated = run.simulated()
    reader = Reader(page(simulated.board, simulated.cells, simulated.cycles, {}))
    obstacle = "Energy of 43 cells comes from a simulated GPU (Simulated *GPU*): not for publication."
    (banner,) = (p for p in reader.all("p") if p.get("role") == "alert")
    assert banner["class"] == "banner"
    assert reader.text.index(obstacle) < reader.text.index("dtcbench leaderboard")
    assert 'role="alert"' not in html


def test_never_sorts_above_every_figure(html):
    cells = re.findall(r'<td data-value="([^"]*)" class="number">never \(', html)
    assert cells and set(cells) == {"Infinity"}


@pytest.fixture(scope="module")
def in_browser(tmp_path_factory):
    """A function from a page to what Chromium makes of it once its scripts have run."""
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    folder = tmp_path_factory.mktemp("browser")

    def render(text: str) -> str:
        file = folder / "page.html"
        file.write_text(text, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
        quiet = ["--disable-background-networking", "--disable-component-update"]
        profile = f"--user-data-dir={folder / 'profile'}"
        command = [
            CHROMIUM,
            *options,
            *quiet,
            profile,
            "--virtual-time-budget=5000",
            "--dump-dom",
            file.as_uri(),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    return render


@pytest.mark.browser
def test_a_browser_draws_every_figure_under_the_pages_own_policy(html, in_browser):
    dom = in_browser(html)
    assert dom.count('class="plot js-plotly-plot"') == 3


CLICK = """<script>
const header = [...document.querySelectorAll("th")].find((th) => th.textContent === "Accuracy, %");
for (let i = 0; i < CLICKS; i++) header.querySelector("button").click();
</script></body>"""


@pytest.mark.browser
@pytest.mark.parametrize(("clicks", "direction"), [(1, "ascending"), (2, "descending")])
def test_a_header_sorts_by_number_with_missing_last(run, html, in_browser, clicks, direction):
    dom = in_browser(html.replace("</body>", CLICK.replace("CLICKS", str(clicks))))
    body = dom[dom.index("<tbody>") : dom.index("</tbody>")]
    values = [re.findall(r'data-value="(.*?)"', row)[3] for row in body.split("<tr>")[1:]]
    known = sorted(run.board.rows["accuracy_mean"].dropna(), reverse=direction == "descending")
    assert values == [*map(str, known), ""]
    assert f'aria-sort="{direction}"' in dom
