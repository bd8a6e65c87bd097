"""What plan, status, show and the comparison print, from records made for the purpose."""

import itertools
from dataclasses import replace

import pandas as pd
import pytest
from cells import task
from hypothesis import given
from hypothesis import strategies as st
from renderings import on_terminal
from suites_for_tests import TINY, edited

from dtcbench import registry
from dtcbench.analysis.reproduction import read_reference
from dtcbench.errors import UserError
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import parse
from dtcbench.record import CellRecord, Status
from dtcbench.records.store import Contents, Store
from dtcbench.report.axes import options_text
from dtcbench.report.cell_view import cell_view
from dtcbench.report.comparison import comparison
from dtcbench.report.plans import counts, next_steps, plan_lines, plan_view, state, status_view, time_left
from dtcbench.text import duration

PLAN = expand(parse(TINY, "suite.yaml"))
DENSE, DTC, MAGNITUDE = PLAN.cells
NOTHING = Contents({})


def text(view) -> str:
    """A view as a wide terminal shows it, without colours."""
    return on_terminal(view, 200)


def failed(cell, status=Status.OOM, attempt=1, reason="out of memory [a bracket]") -> CellRecord:
    return task(cell, attempt=attempt).record(status, reason, "2025-01-01T00:00:00.000+00:00", 2.0)


@pytest.fixture(scope="module")
def done(tiny_workplace) -> Contents:
    """The three records of the tiny run."""
    return Store(tiny_workplace / "runs/tiny").read()


def timed(done: Contents, *cells, wall_s: float) -> Contents:
    """Only the records of `cells`, each of which took so long."""
    return Contents({c.key: (done.record(c.key).model_copy(update={"wall_s": wall_s}),) for c in cells})


# states and counts


def test_a_cell_is_done_failed_or_missing(done):
    assert state(DTC, done) == "done"
    assert state(DTC, NOTHING) == "missing"
    assert state(DTC, Contents({DTC.key: (failed(DTC),)})) == "failed: oom"


def test_an_ok_attempt_counts_though_a_later_one_failed(done):
    attempts = (done.record(DTC.key), failed(DTC, attempt=2))
    assert state(DTC, Contents({DTC.key: attempts})) == "done"


def test_counts_add_up_to_the_cells(done):
    contents = Contents({DENSE.key: (done.record(DENSE.key),), DTC.key: (failed(DTC),)})
    assert counts(PLAN, contents) == "3 cells: 1 done, 1 failed, 1 missing"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (720, "12 min"), (5400, "1.5 h"), (12600, "3.5 h")]
)
def test_durations_are_in_the_unit_a_person_would_use(seconds, words):
    assert duration(seconds) == words


def test_what_to_type_next_depends_on_what_is_not_done():
    def steps(*statuses):
        return [step.strip() for step in next_steps(statuses)]

    assert steps("missing", "infra", "cancelled", "ok") == ["3 cells missing: the same command runs them"]
    assert steps("oom", "error", "ok") == ["2 cells failed: --retry-failed tries them again"]
    assert steps("ok") == []


def test_time_left_is_unknown_known_or_nothing(done):
    assert time_left(PLAN, NOTHING) == "time left: unknown until a first cell has run"
    assert time_left(PLAN, done) == "nothing left to run"
    half = timed(done, DENSE, wall_s=30.0)
    assert time_left(PLAN, half) == (
        "time left: about 60 s of work, one cell at a time; 2 cells of a kind not timed yet, taken as the mean"
    )


@pytest.mark.parametrize(
    ("energy", "measuring"),
    [
        ("", "; measuring takes at least 4 min of it, or as long as the trainings, one cell at a time"),
        ("\nenergy: {min_window: 10m, idle: 0s, cool_down: {at_least: 2m}}", "; measuring takes at least 36 min of it"),
        ("\nenergy: {meter: none}", ""),
    ],
)
def test_before_a_first_cell_has_run_the_plan_knows_what_measuring_takes(energy, measuring):
    plan = expand(parse(f"{TINY}resources: {{gpus: 1}}{energy}\n", "suite.yaml"))
    left = time_left(plan, NOTHING)
    assert left.startswith(f"time left: unknown until a first cell has run{measuring}")
    assert ("measuring" in left) is bool(measuring)


def test_a_failed_cell_s_time_tells_nothing_of_the_others(done):
    contents = Contents({DENSE.key: (failed(DENSE),)})
    assert time_left(PLAN, contents) == "time left: unknown until a first cell has run"


# plan


def test_the_plan_lists_every_cell_with_its_key_and_state(done):
    view = text(plan_view(PLAN, Contents({DTC.key: (failed(DTC),), DENSE.key: (done.record(DENSE.key),)})))
    lines = {line.split()[0]: line for line in view.splitlines() if line.strip()}
    assert "done" in lines[DENSE.key[:12]]
    assert "failed: oom" in lines[DTC.key[:12]]
    assert lines[DTC.key[:12]].split()[3:] == ["dtc", "lars", "mlp(widths=[16])", "digits", "0.5", "0"]
    assert "missing" in lines[MAGNITUDE.key[:12]]


def test_the_plan_tells_exclusions_notes_and_counts():
    suite = edited(TINY, ("[0.5]", "[0.5, 0.9]")) + "exclude: [{method: dtc, reason: 'too slow [here]'}]\n"
    view = text(plan_view(expand(parse(suite, "suite.yaml")), NOTHING))
    assert "excluded: dtc/lars mlp(widths=[16]) digits 0.5 seed 0: too slow [here]\n" in view
    assert "note: sparsity 0.9 takes 22 cycles" in view
    assert "3 cells: 0 done, 0 failed, 3 missing; 2 excluded\n" in view


def test_a_plan_whose_seeds_grow_says_how_far_and_by_what(done):
    suite = edited(TINY, ("seeds: 1", "seeds: {first: 5, step: 3, most: 8}"))
    plan = expand(parse(suite, "suite.yaml"))
    assert (
        "look 1: 5 seeds; --until-decided runs 3 more at a time, up to 8, where a comparison is undecided"
        in text(plan_view(plan, NOTHING)).splitlines()
    )
    last = expand(plan.suite, plan.names, [{cell.row for cell in plan.cells}])
    assert "look 2, the last one: 8 seeds where a comparison was undecided" in text(status_view(last, NOTHING))
    assert "look" not in text(plan_view(PLAN, NOTHING))


def test_the_published_schedule_has_no_number_for_its_sparsity():
    suite = edited(TINY, ("{name: standard, steps: 30, cycle_steps: 5}", "published"), ("    sparsities: [0.5]\n", ""))
    plan = expand(parse(suite, "suite.yaml"))
    view = text(plan_view(plan, NOTHING))
    shown = {line.split()[0]: line.split()[-2] for line in view.splitlines() if len(line.split()) > 6}
    assert [shown[cell.key[:12]] for cell in plan.cells] == ["0", "schedule", "schedule"]


def many(count):
    """A plan of so many cells, half of them dense, half of method magnitude."""
    changes = ("[dtc, magnitude]", "[magnitude]"), ("    solvers: [lars]\n", ""), ("seeds: 1", f"seeds: {count // 2}")
    return expand(parse(edited(TINY, *changes), "suite.yaml"))


def test_of_many_cells_the_plan_lists_the_first_and_counts_the_rest_by_method():
    plan = many(2000)
    lines = text(plan_view(plan, NOTHING)).splitlines()
    assert len(lines) < 60
    shown = [line.split()[0] for line in lines if line.split()[1:2] == ["missing"]]
    assert shown == [cell.key[:12] for cell in plan.cells[:20]]
    assert "… the first 20 of 2000 cells; --all lists every one" in lines
    rows = [line.split() for line in lines if line.strip().startswith(("dense ", "magnitude "))]
    assert rows == [[name, "–", "1", "1", "1", "1000", "1000", "0", "0", "1000"] for name in ("dense", "magnitude")]


def test_a_plan_of_few_cells_needs_no_counts_by_method():
    assert "--all" not in text(plan_view(PLAN, NOTHING))


def test_a_plan_of_several_protocols_says_which_each_cell_has():
    one, other = "{name: standard, steps: 30, cycle_steps: 5}", "{name: standard, steps: 40, cycle_steps: 5}"
    plan = expand(parse(edited(TINY, (one, f"[{one}, {other}]")), "tiny.yaml"))
    names = ["standard(cycle_steps=5, steps=30)"] * 3 + ["standard(cycle_steps=5, steps=40)"] * 3
    assert [line.split("\t")[-1] for line in plan_lines(plan, NOTHING)] == ["protocol", *names]
    shown = text(plan_view(plan, NOTHING))
    assert [shown.count(name) for name in dict.fromkeys(names)] == [3, 3]


def test_every_cell_of_a_plan_is_a_line_that_is_made_when_it_is_asked_for(done):
    contents = Contents({DENSE.key: (done.record(DENSE.key),)})
    lines = [line.split("\t") for line in plan_lines(PLAN, contents)]
    assert lines == [
        ["key", "state", "method", "solver", "model", "dataset", "sparsity", "seed"],
        [DENSE.key, "done", "dense", "–", "mlp(widths=[16])", "digits", "0", "0"],
        [DTC.key, "missing", "dtc", "lars", "mlp(widths=[16])", "digits", "0.5", "0"],
        [MAGNITUDE.key, "missing", "magnitude", "–", "mlp(widths=[16])", "digits", "0.5", "0"],
    ]
    assert next(plan_lines(replace(PLAN, cells=itertools.repeat(DTC)), contents))  # no end, and yet a first line


def test_many_excluded_cells_are_counted_by_reason():
    suite = edited(TINY, ("seeds: 1", "seeds: 500")) + "exclude: [{method: dtc, reason: too slow}]\n"
    lines = text(plan_view(expand(parse(suite, "suite.yaml")), NOTHING)).splitlines()
    assert [line for line in lines if "too slow" in line] == [
        *(f"excluded: dtc/lars mlp(widths=[16]) digits 0.5 seed {seed}: too slow" for seed in range(3)),
        "… and 497 more: too slow",
    ]


# status


def test_status_groups_many_failures_by_reason_with_counts_and_examples():
    plan = many(200)
    reasons = ["out of memory", "took too long"]
    contents = Contents(
        {cell.key: (failed(cell, reason=reasons[number % 2]),) for number, cell in enumerate(plan.cells)}
    )
    lines = text(status_view(plan, contents)).splitlines()
    assert len([line for line in lines if line.startswith("oom: ")]) == 6
    assert [line for line in lines if "… and" in line] == [
        "… and 97 more: oom: out of memory",
        "… and 97 more: oom: took too long",
    ]


def test_status_shows_the_first_of_very_many_reasons_and_counts_the_others():
    plan = many(200)
    contents = Contents({cell.key: (failed(cell, reason=f"reason {cell.key}"),) for cell in plan.cells})
    lines = text(status_view(plan, contents)).splitlines()
    assert len([line for line in lines if line.startswith("oom: ")]) == 20
    assert "… and 180 more, for 180 other reasons" in lines


def test_status_names_every_failure_with_its_reason_and_attempt(done):
    contents = Contents({DENSE.key: (done.record(DENSE.key),), DTC.key: (failed(DTC), failed(DTC, attempt=2))})
    view = text(status_view(PLAN, contents))
    assert view.startswith("tiny: 3 cells: 1 done, 1 failed, 1 missing\n")
    assert f"oom: {DTC.label} (cell {DTC.key[:12]}, attempt 2): out of memory [a bracket]\n" in view
    assert DENSE.label not in view


def test_status_names_damaged_records_and_what_becomes_of_them(tmp_path):
    damaged = {tmp_path / "x.json": "truncated or not JSON"}
    view = "".join(text(status_view(PLAN, Contents({}, damaged))).split("\n"))
    assert (
        f"damaged record: {tmp_path / 'x.json'}: truncated or not JSON; it does not count, and its cell is redone"
        in view
    )


def test_status_counts_records_that_the_suite_no_longer_plans(done):
    smaller = expand(parse(edited(TINY, ("[dtc, magnitude]", "[dtc]")), "suite.yaml"))
    assert "1 further cells have records, but the suite no longer plans them\n" in text(status_view(smaller, done))
    assert "further" not in text(status_view(PLAN, done))


# one cell


def test_a_cell_s_view_holds_configuration_figures_and_every_cycle(done):
    record = done.record(DTC.key)
    view = text(cell_view([record]))
    assert view.startswith(f"{DTC.label}\n")
    for part in (
        DTC.key,
        "mlp(bias=true, widths=[16])",
        "lars(max_iterations=10000)",
        f"{100 * record.result.accuracy:.2f} %",
        "hidden0 8",
        "not measured (",
        record.provenance.hardware_class,
    ):
        assert part in view
    rows = [line.split() for line in view[view.index("H in, bits") :].splitlines()[2:] if line.strip()]
    assert [row[0] for row in rows] == [str(cycle.cycle) for cycle in record.result.cycles]
    assert rows[-1][6] == f"{record.result.cycles[-1].layers[0].width_before}→8"


def test_a_dense_cell_s_missing_figures_carry_their_reasons(done):
    view = text(cell_view([done.record(DENSE.key)]))
    assert "– (nothing is removed while training)" in view


def test_all_attempts_are_listed_and_the_one_with_a_result_is_shown(done):
    record = done.record(DTC.key)
    view = text(cell_view([failed(DTC), record.model_copy(update={"attempt": 2}), failed(DTC, attempt=3)]))
    assert [line.split(",")[0] for line in view.splitlines() if line.startswith("attempt")] == [
        "attempt 1: oom",
        "attempt 2: ok",
        "attempt 3: oom",
    ]
    assert "test accuracy" in view


def test_a_failed_cell_s_view_has_the_reason_and_the_traceback_as_it_is():
    record = failed(DTC, Status.ERROR).model_copy(update={"detail": "Traceback [most recent]\n  boom"})
    view = text(cell_view([record]))
    assert "attempt 1: error, 2025-01-01T00:00:00.000+00:00, 2.0 s: out of memory [a bracket]\n" in view
    assert "Traceback [most recent]\n  boom\n" in view
    assert "test accuracy" not in view


# published figures beside ours


def curve(method="magnitude-published", key="a" * 64, solver=None, seed=0, test=(0.5, 0.25)) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "key": key,
            "method": method,
            "solver": solver,
            "seed": seed,
            "cycle": range(len(test)),
            "width_after": [460, 414][: len(test)],
            "test_after": test,
        }
    )


@pytest.fixture
def csv(tmp_path):
    """Writes a reference and reads it."""

    def read(content: str, method: str | None = None) -> pd.DataFrame:
        path = tmp_path / "ref.csv"
        path.write_text(content)
        return read_reference(path, method)

    return read


def test_a_reference_s_columns_stand_for_the_published_methods(csv):
    frame = csv("cycle,width,magnitude_accuracy,dtc_accuracy\n0,460,0.5,0.1\n")
    assert list(frame.columns) == ["cycle", "width", "magnitude-published", "dtc-published"]


def test_a_single_accuracy_column_stands_for_the_method_named(csv):
    assert list(csv("cycle,width,accuracy\n0,460,0.5\n", "random").columns) == ["cycle", "width", "random"]


@given(st.floats(0, 1))
def test_a_figure_is_read_to_the_last_bit(tmp_path_factory, figure):
    path = tmp_path_factory.getbasetemp() / "figure.csv"
    path.write_text(f"cycle,width,dtc_accuracy\n0,460,{figure!r}\n")
    assert read_reference(path, None)["dtc-published"][0] == figure


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read as CSV"),
        ("cycle,width,accuracy\n0,460,0.5\n", "say whose with --method, such as --method magnitude-published"),
        ("width,dtc_accuracy\n460,0.5\n", "has no column cycle; it has width, dtc_accuracy"),
        ("a,b\n1,2\n", "has no column cycle, width; it has a, b"),
        ("cycle,width\n0,460\n", "has no column accuracy or NAME_accuracy; it has cycle, width"),
        ("cycle,width,dtc_accuracy\n0,460,50 %\n", "could not convert string to float: '50 %'; write plain numbers"),
        ("cycle,width,dtc_accuracy\nfirst,460,0.5\n", "could not convert string to float: 'first'"),
    ],
)
def test_a_wrong_reference_is_told_what_it_lacks(csv, content, message):
    with pytest.raises(UserError) as caught:
        csv(content)
    assert str(caught.value).startswith("--reference ")
    assert message in str(caught.value)


def test_equal_figures_are_marked_and_counted_and_others_have_their_difference(csv):
    reference = csv("cycle,width,magnitude_accuracy\n0,460,0.5\n1,414,0.2\n")
    view = text(comparison(curve(), reference))
    rows = [line.split() for line in view.splitlines() if line.strip()[:1].isdigit()]
    assert rows[0] == ["0", "460", "460", "0.5000000000000000", "0.5000000000000000", "="]
    assert rows[1][-1] == "+0.0500"
    assert "1 of 2 cycles equal to the last bit" in view


def test_a_difference_in_the_last_bit_is_no_equality(csv):
    reference = csv("cycle,width,magnitude_accuracy\n0,460,0.5\n1,414,0.25\n")
    view = text(comparison(curve(test=(0.5 + 2**-53, 0.25)), reference))
    assert "1 of 2 cycles equal to the last bit" in view


def test_a_cycle_that_only_one_side_has_stands_with_dashes(csv):
    reference = csv("cycle,width,magnitude_accuracy\n1,414,0.25\n2,372,0.1\n")
    view = text(comparison(curve(), reference))
    rows = [line.split() for line in view.splitlines() if line.strip()[:1].isdigit() and "of" not in line]
    assert rows[0] == ["0", "–", "460", "–", "0.5000000000000000", "–"]
    assert rows[2] == ["2", "372", "–", "0.1000000000000000", "–", "–"]
    assert "1 of 3 cycles equal to the last bit" in view


def test_every_cell_of_a_method_has_a_table_of_its_own(csv):
    cycles = pd.concat([curve(key="a" * 64), curve(key="b" * 64, seed=1), curve(key="c" * 64, solver="scs", seed=1)])
    view = text(comparison(cycles, csv("cycle,width,magnitude_accuracy\n0,460,0.5\n")))
    titles = [line.strip() for line in view.splitlines() if ", seed" in line]
    assert titles == [
        "magnitude-published, seed 0, cell aaaaaaaaaaaa",
        "magnitude-published, seed 1, cell bbbbbbbbbbbb",
        "magnitude-published/scs, seed 1, cell cccccccccccc",
    ]


def test_a_method_without_a_finished_cell_is_said_to_have_none(csv):
    view = text(comparison(curve(), csv("cycle,width,dtc_accuracy\n0,460,0.5\n")))
    assert view == "dtc-published: this run has no finished cell of it\n"


# axes


def test_options_are_shown_as_a_suite_would_spell_them():
    assert options_text(registry.models, "mlp") == 'widths: [512], bias: true, weights: "", weights_sha256: ""'
    assert options_text(registry.methods, "dtc") == (
        "score: reconstruction, drop: smallest, lam: 0.3, f: 0.1, sides: both, widths: uniform, stream: 0, "
        "groups: simple, when: during"
    )
    assert options_text(registry.methods, "dense") == "stream: 0"
