"""Which figures there are: one list for the page and for paper, by plain names that no two share."""

from __future__ import annotations

import re
from dataclasses import replace

from test_power_chart import cell

from dtcbench.report import drawings
from dtcbench.report.html import page
from dtcbench.report.site.suite_page import suite_page
from dtcbench.text import file_name, file_names


def drawn(tables, traces=None):
    return drawings.of_leaderboard(tables.leaderboard, tables.cells, tables.cycles, traces or {})


def named(tables, traces=None):
    return drawings.by_file_name(tables.leaderboard, drawn(tables, traces))


def test_the_page_shows_every_figure_of_the_list_and_no_other(two_pools):
    html = page("quick", suite_page(two_pools.leaderboard, two_pools.cells, two_pools.cycles, {}))
    ids = re.findall(r'<div class="plot" id="(.*?)"', html)
    assert ids == [f"pool-{n}-{one.name}" for n, of_pool in enumerate(drawn(two_pools), 1) for one in of_pool]
    assert len(ids) == 6


def test_files_are_named_after_the_pool_and_the_figure(run):
    power = {run.cells["key"].iloc[0]: cell()}
    assert list(named(run, power)) == [
        "standard-digits-mlp-widths-256-accuracy-by-sparsity",
        "standard-digits-mlp-widths-256-accuracy-by-training-flops",
        "standard-digits-mlp-widths-256-over-cycles",
        "standard-digits-mlp-widths-256-power",
    ]


def test_pools_whose_plain_names_agree_have_files_of_their_own(two_pools):
    cells, cycles = (table.replace({"dataset": {"mnist": "Digits!"}}) for table in (two_pools.cells, two_pools.cycles))
    names = list(named(replace(two_pools, cells=cells, cycles=cycles)))
    assert len(set(names)) == 6
    assert {name for name in names if name.endswith("over-cycles")} == {
        "standard-digits-mlp-widths-256-over-cycles",
        "standard-digits-mlp-widths-256--2-over-cycles",
    }


def test_a_long_name_is_cut_and_stays_one_of_its_own():
    long = [f"mlp(widths=[{', '.join(['256'] * 60)}, {last}])" for last in (1, 2)]
    names = list(file_names(long))
    assert len(set(names)) == 2
    assert all(len(name) <= 103 and re.fullmatch(r"[a-z0-9-]+", name) for name in names)
    assert file_name("../…") == "unnamed"


def test_no_figures_name_ends_in_anothers_so_that_no_two_pools_can_share_a_file(run):
    names = [one.name for one in drawn(run, {run.cells["key"].iloc[0]: cell()})[0]]
    assert len(names) == 4
    assert not [(one, other) for one in names for other in names if other.endswith(f"-{one}")]


def test_a_pool_without_an_ok_cell_has_no_figure_and_one_without_cycles_none_over_them(run):
    assert drawn(run.failed()) == [[]]
    (of_pool,) = drawn(replace(run, cycles=run.cycles.iloc[:0]))
    assert [one.name for one in of_pool] == ["accuracy-by-sparsity", "accuracy-by-training-flops"]


def test_power_is_that_of_one_seed_at_the_highest_sparsity_and_only_those_traces_are_read(run):
    shown = run.cells.query("seed == 0 and (sparsity == 0.95 or method == 'dense') and status == 'ok'")["key"]
    asked = []

    class Traces(dict):
        def __getitem__(self, key):
            asked.append(key)
            return cell()

    (of_pool,) = drawn(run, Traces.fromkeys(run.cells.query("status == 'ok'")["key"]))
    assert asked == []
    assert of_pool[-1].name == "power"
    [panel] = of_pool[-1].figure()["vconcat"]
    assert {point["name"] for point in panel["layer"][-1]["data"]["values"]} == {
        "dense", "dtc / lars", "dtc / scs", "dtc-published / scs", "magnitude", "random"}  # fmt: skip
    assert set(shown) < set(asked) and len(asked) == 6
