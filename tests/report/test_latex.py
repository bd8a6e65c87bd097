"""The leaderboard as LaTeX: what stands in it, and that no name is ever read as a command."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from renderings import leaderboard_latex

from dtcbench.report import columns
from dtcbench.report.latex import escaped
from dtcbench.text import one_line

MEANT = {
    r"{\textbackslash}": "\\",
    r"{\textasciitilde}": "~",
    r"{\textasciicircum}": "^",
    r"{\textasciigrave}": "`",
    r"{\ensuremath{<}}": "<",
    r"{\ensuremath{>}}": ">",
    r"{''}": '"',
    **{f"{{{c}}}": c for c in "[]*-',"},
    **{f"{{\\{c}}}": c for c in "%&#$_{}"},
}


def without_groups(written: str) -> str:
    """The plain characters: every group in braces is taken out, innermost first."""
    while (less := re.sub(r"\{(?:[^{}\\]|\\[{}]|\\)*\}", "", written)) != written:
        written = less
    return written


def rows(text: str) -> list[str]:
    """The lines of figures, without heads and sections."""
    return [line for line in text.splitlines() if line.endswith(r"\\") and line.count(" & ") > 1][1:]


@given(st.text())
def test_nothing_special_is_left_outside_of_a_group(text):
    written = escaped(text)
    assert written.isascii() and written.isprintable()
    plain = without_groups(written)
    assert not set(plain) & set('\\%&#$_{}~^<>"`[]*')
    assert not re.search(r"--|''|,,", plain)


@given(st.text(st.characters(max_codepoint=126)))
def test_every_character_of_ascii_is_meant_as_it_was(text):
    escapes = sorted(MEANT, key=len, reverse=True)
    read = re.sub("|".join(map(re.escape, escapes)), lambda found: MEANT[found[0]], escaped(text))
    assert read == one_line(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("−0.5 ≤ λ", r"{\ensuremath{-}}0.5 {\ensuremath{\leq}} {\ensuremath{\lambda}}"),
        ("1–2 · 3", r"1{\textendash}2 {\textperiodcentered} 3"),
        ("Süzen, Łódź", r"S{\"u}zen, {\L}{\'o}d{\'z}"),
        ("中\U0001f600", "U+4E2DU+1F600"),
        ("a\x00\x1b[31m\nb", "a {[}31m b"),
    ],
)  # fmt: skip
def test_unicode_is_written_with_commands_of_latex_or_as_its_number(text, written):
    assert escaped(text) == written


def test_there_is_a_float_per_pool_and_one_per_summary_each_with_its_own_label(six_pools):
    text = leaderboard_latex(six_pools.leaderboard)
    labels = re.findall(r"\\label\{(tab:[a-z0-9-]+)\}", text)
    assert {"tab:quick-standard-digits-mlp-widths-256", "tab:quick-standard-mnist-mlp-widths-256"} <= set(labels)
    assert len(set(labels)) == len(labels) == 6 + len(columns.summary_pools(six_pools.leaderboard)) == 9
    for word in (r"\begin{table*}", r"\end{table*}", r"\caption{", r"\toprule", r"\bottomrule", r"\begin{tabular}"):
        assert text.count(word) == 9
    assert (
        len(rows(text.partition("Over pairs")[0])) == len(six_pools.leaderboard.rows) + 5
    )  # and the heads of all but the first


def test_pools_whose_names_differ_in_signs_alone_have_labels_of_their_own(two_pools):
    alike = two_pools.leaderboard.rows.assign(
        dataset=two_pools.leaderboard.rows["dataset"].replace({"mnist": "digits+"})
    )
    labels = re.findall(r"\\label\{(.*)\}", leaderboard_latex(replace(two_pools.leaderboard, rows=alike)))
    assert len(set(labels)) == len(labels)


def test_every_line_has_as_many_cells_as_the_table_has_columns(run):
    text = leaderboard_latex(run.leaderboard)
    (spec,) = re.findall(r"\\begin\{tabular\}\{@\{\}(.*)@\{\}\}", text)
    width = len(re.sub(r"@\{.*?\}", "", spec).replace("\\", ""))
    for line in [line for line in text.splitlines() if line.endswith(r"\\")]:
        spans = [int(found) for found in re.findall(r"\\multicolumn\{(\d+)\}", line)]
        assert len(re.split(r"(?<!\\)&", line)) + sum(spans) - len(spans) == width


def test_rows_are_divided_by_what_was_removed(run):
    text = leaderboard_latex(run.leaderboard)
    sections = re.findall(r"\\midrule\n\\multicolumn\{\d+\}\{@\{\}l@\{\}\}\{\\itshape (.*)\} \\\\", text)
    assert sections == [rf"Sparsity {share} {{\%}}" for share in ("0", "50", "80", "95")]


def test_a_row_has_its_figures_with_small_intervals_and_one_without_an_ok_cell_has_none(run):
    lines = rows(leaderboard_latex(run.leaderboard))
    row = run.leaderboard.rows.query("method == 'dtc' and solver == 'lars' and sparsity == 0.8").to_dict("records")[0]
    mean, low, high = (f"{100 * row[f'accuracy_{end}']:.2f}" for end in ("mean", "low", "high"))
    line = next(line for line in lines if line.startswith("dtc / lars") and mean in line)
    assert f"{mean} & {{\\scriptsize {{[}}{low}, {high}{{]}}}}" in line
    assert " & 3/3 & " in line
    failed = next(line for line in lines if "0/3" in line)
    assert failed.count(r"{\textendash}") == 7
    assert not re.search(r"\d\.\d", failed)


def test_remarks_stand_below_with_a_mark_on_their_rows_and_the_notes_follow(run):
    text = leaderboard_latex(run.leaderboard)
    (below,) = re.findall(r"\\scriptsize\\raggedright\n(.*?)\n\\end\{minipage\}", text, re.DOTALL)
    number = re.search(r"\\textsuperscript\{(\d)\} error \{\\texttimes\}3: keep=0.9", below)[1]
    assert any(line.startswith(rf"dtc-published / scs\textsuperscript{{{number}}} & ") for line in rows(text))
    assert all(escaped(note) in below for note in run.leaderboard.notes)


def test_energy_that_nobody_measured_is_said_to_be_so_and_is_no_number(run):
    leaderboard = run.unmeasured().leaderboard
    lines = rows(leaderboard_latex(leaderboard))
    assert sum("& not measured &" in line for line in lines) == sum(leaderboard.rows["ok"] > 0)
    assert "not measured" not in "".join(rows(leaderboard_latex(run.leaderboard)))


def test_a_row_without_a_meter_says_so_beside_metered_ones(run):
    cells = run.cells.assign(energy_j=run.cells["energy_j"].where(run.cells["method"] != "dtc"))
    lines = rows(leaderboard_latex(replace(run, cells=cells).leaderboard))
    assert sum(r"\multicolumn{2}{c}{not measured}" in line for line in lines) == 6


def test_what_forbids_publishing_opens_every_caption_in_bold(two_pools):
    leaderboard = two_pools.simulated().leaderboard
    text = leaderboard_latex(leaderboard)
    assert leaderboard.obstacles
    assert text.count(rf"\caption{{\textbf{{{escaped(leaderboard.obstacles[0])}}} ") == text.count(r"\caption{")
    assert r"\textbf" not in leaderboard_latex(two_pools.leaderboard)


def test_p_has_a_column_only_where_there_is_a_test(run, two_pools):
    assert "& Adjusted p &" in leaderboard_latex(run.leaderboard)
    assert "Adjusted p &" not in leaderboard_latex(two_pools.leaderboard)


def test_bits_per_character_have_a_column_only_where_there_are_any(run):
    assert "Bits per character" not in leaderboard_latex(run.leaderboard)
    assert "Bits per character" in leaderboard_latex(
        replace(run, cells=run.cells.assign(bits_per_character=2.0)).leaderboard
    )


def test_a_run_of_which_nothing_is_ok_still_has_its_rows(run):
    assert len(rows(leaderboard_latex(run.failed().leaderboard))) == len(run.leaderboard.rows)


def test_hostile_names_stay_names(run):
    tables = run.relabelled("random", "\\input{/etc/passwd} & $x_1$ % [2]")
    tables.cells["model"] = tables.cycles["model"] = "\\end{table*}"
    text = leaderboard_latex(tables.leaderboard)
    assert r"\input{/" not in text
    assert text.count(r"\end{table*}") == 1
    assert (
        sum(
            line.startswith(r"{\textbackslash}input{\{}/etc/passwd{\}} {\&} {\$}x{\_}1{\$} {\%} {[}2{]}")
            for line in rows(text)
        )
        == 3
    )


def test_the_same_cells_give_the_same_bytes_whatever_their_order(run):
    text = leaderboard_latex(run.leaderboard)
    assert leaderboard_latex(run.shuffled().leaderboard) == text
    assert text.isascii() and text.endswith("\n") and not text.endswith("\n\n")
    assert text.startswith("% Made by dtcbench")
    assert all(package in text.splitlines()[1] for package in ("booktabs", "graphicx"))


def test_an_empty_leaderboard_is_a_comment(run):
    empty = replace(
        run.leaderboard, rows=run.leaderboard.rows.iloc[:0], summary=pd.DataFrame(run.leaderboard.summary.iloc[:0])
    )
    assert all(line.startswith("%") for line in leaderboard_latex(empty).splitlines())
