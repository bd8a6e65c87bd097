import pandas as pd
from cells import cell

from dtcbench.records import tables
from dtcbench.records.store import Contents


def contents(*records):
    return Contents({record.key: (record,) for record in records}, ())


def test_every_planned_cell_is_a_row_done_failed_or_missing(ok_record, failed_record):
    planned = [ok_record.cell, failed_record.cell, cell("dense", 0.0)]
    frame = tables.cells(planned, contents(ok_record, failed_record), "tiny")
    assert list(frame["key"]) == [c.key for c in planned]
    assert list(frame["status"]) == ["ok", "error", "missing"]
    assert list(frame["reason"].fillna("")) == ["", "it broke", "not run yet"]


def test_figures_of_an_ok_cell_are_in_its_row_and_absent_from_the_others(ok_record, failed_record):
    frame = tables.cells([ok_record.cell, failed_record.cell], contents(ok_record, failed_record), "tiny")
    ok, failed = frame.to_dict("records")
    assert ok["accuracy"] == ok_record.result.accuracy
    assert ok["training_flops"] == ok_record.result.training_flops
    assert pd.isna(failed["accuracy"])


def test_energy_that_was_not_measured_is_missing_with_its_reason_never_zero(ok_record):
    (row,) = tables.cells([ok_record.cell], contents(ok_record), "tiny").to_dict("records")
    assert pd.isna(row["energy_j"])
    assert row["energy_method"] == "none"
    assert "CPU" in row["energy_reason"]


def test_cycles_have_a_row_per_layer_and_one_where_nothing_was_removed(ok_record):
    frame = tables.cycles([ok_record.cell], contents(ok_record))
    assert len(frame) == sum(max(1, len(c.layers)) for c in ok_record.result.cycles)
    assert list(frame["width_after"].dropna())[-1] == ok_record.result.widths["hidden0"]
    assert frame["entropy_in_bits"].notna().any()


def test_labels_show_the_options_that_differ_from_the_defaults(ok_record):
    (row,) = tables.cells([ok_record.cell], contents(ok_record), "tiny").to_dict("records")
    assert (row["method"], row["model"], row["solver"]) == ("dtc", "mlp(widths=[32])", "lars")


def test_the_same_records_give_the_same_parquet_bytes(ok_record):
    first, second = (tables.parquet(tables.cycles([ok_record.cell], contents(ok_record))) for _ in range(2))
    assert first == second


def test_a_plan_without_any_record_still_makes_tables():
    planned = [cell("dtc")]
    assert len(tables.cells(planned, contents(), "tiny")) == 1
    assert tables.cycles(planned, contents()).empty


def test_protocols_that_differ_in_a_suite_are_told_apart_by_what_differs():
    planned = [cell("dense", 0.0), cell("dense", 0.0, keep=0.7)]
    assert list(tables.cells(planned[:1], contents(), "tiny")["protocol"]) == ["standard"]
    assert list(tables.cells(planned, contents(), "tiny")["protocol"]) == ["standard(keep=0.8)", "standard(keep=0.7)"]
