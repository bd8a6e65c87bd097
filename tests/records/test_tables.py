import hashlib
import json

import pandas as pd
import pytest
from cells import cell

from dtcbench.hits import unpacked
from dtcbench.record import OLDER, CellRecord, Energy, PowerTrace, Tabled
from dtcbench.records import contributions, tables
from dtcbench.records.sealing import seal, unsealed
from dtcbench.records.store import Store


def tabled(record):
    """As the store reads a record for the tables."""
    return unsealed(seal(record.model_dump(mode="json")), Tabled)


def made(planned, *records, chunk=2000):
    """The tables of these records, so many of which become a part at once."""
    read = list(map(tabled, records))
    chunks = [contributions.Contribution.of(read[first : first + chunk]) for first in range(0, len(read), chunk)]
    return tables.assembled(planned, [contributions.joined(chunks)], "tiny")


def cells(planned, *records):
    return made(planned, *records).cells


def cycles(planned, *records):
    return made(planned, *records).cycles


def test_every_planned_cell_is_a_row_done_failed_or_missing(ok_record, failed_record):
    planned = [ok_record.cell, failed_record.cell, cell("dense", 0.0)]
    frame = cells(planned, ok_record, failed_record)
    assert list(frame["key"]) == [c.key for c in planned]
    assert list(frame["status"]) == ["ok", "error", "missing"]
    assert list(frame["reason"].fillna("")) == ["", "it broke", "not run yet"]


def test_figures_of_an_ok_cell_are_in_its_row_and_absent_from_the_others(ok_record, failed_record):
    frame = cells([ok_record.cell, failed_record.cell], ok_record, failed_record)
    ok, failed = frame.to_dict("records")
    assert ok["accuracy"] == ok_record.result.accuracy
    assert ok["training_flops"] == ok_record.result.training_flops
    assert pd.isna(failed["accuracy"])


def test_hits_are_a_text_in_the_table_and_not_in_its_file(ok_record, failed_record):
    frame = cells([ok_record.cell, failed_record.cell], ok_record, failed_record)
    hits = unpacked(frame["hits"][0], int(frame["test_samples"][0]))
    assert hits.mean() == frame["accuracy"][0]
    assert pd.isna(frame["hits"][1])
    assert "hits" not in tables.untyped(frame)
    assert "hits" in frame


@pytest.fixture
def metered_record(ok_record):
    """The small cell as if two of its trainings had run on a GPU under a meter, 50 s and 9,000 J each."""
    cycles = len(ok_record.result.cycles)
    trace = PowerTrace(
        device="A GPU",
        gpu_uuid="GPU-0",
        simulated=False,
        interval_s=0.025,
        samples=4000,
        longest_gap_s=0.03,
        read_errors={},
        counter_j=9000.0,
        integral_j=9090.0,
        integrated="usage_w",
        idle_w=60.0,
        idle_context_w=90.0,
        cool_down_s=30.0,
        temperature_before_c=40.0,
        temperature_after_c=60.0,
        sm_clock_mhz=1980.0,
        memory_clock_mhz=2619.0,
        throttle_shares={},
        phases=[],
        cumulative_j=[100.0 * (cycle + 1) for cycle in range(cycles)],
        sampler_cpu_pct=1.0,
    )
    energy = Energy(
        energy_j=9000.0,
        method="counter",
        scope="gpu",
        window_s=100.0,
        repeats=2,
        cross_check_pct=1.0,
        quantisation_j=18.0,
        cpu_energy_j=None,
        trace=trace,
        trace_sha256="0" * 64,
        flags=["warm"],
        reasons={"cpu_energy_j": "no RAPL"},
    )
    return ok_record.model_copy(update={"energy": energy})


def without(record, name):
    """The metered record without one figure of its trace."""
    trace = record.energy.trace.model_copy(update={name: None, "reasons": {name: "not read"}})
    return record.model_copy(update={"energy": record.energy.model_copy(update={"trace": trace})})


def row_of(record) -> dict:
    (row,) = cells([record.cell], record).to_dict("records")
    return row


def test_energy_is_that_of_one_training_and_power_follows_from_it(metered_record):
    row = row_of(metered_record)
    assert (row["energy_j"], row["repeats"], row["window_s"], row["training_s"]) == (9000.0, 2, 100.0, 50.0)
    assert (row["mean_power_w"], row["idle_w"], row["idle_context_w"]) == (180.0, 60.0, 90.0)
    assert (row["net_energy_j"], row["net_energy_bare_j"]) == (4500.0, 6000.0)
    assert (row["gpu"], row["gpu_uuid"], row["simulated"]) == ("A GPU", "GPU-0", False)
    assert pd.isna(row["cpu_energy_j"]) and row["cpu_energy_reason"] == "no RAPL"


@pytest.mark.parametrize(
    ("unread", "lost", "kept"),
    [("idle_w", "net_energy_bare_j", "net_energy_j"), ("idle_context_w", "net_energy_j", "net_energy_bare_j")],
)
def test_without_an_idle_power_there_are_no_joules_above_it(metered_record, unread, lost, kept):
    row = row_of(without(metered_record, unread))
    assert pd.isna(row[lost])
    assert row[kept] > 0
    assert row["mean_power_w"] == 180.0


def test_a_record_from_before_the_second_idle_power_still_loads_and_says_so(metered_record):
    old = metered_record.model_dump(mode="json")
    added = ("idle_context_w", "sm_clock_mhz", "memory_clock_mhz", "throttle_shares")
    for name in added:
        old["energy"]["trace"].pop(name)
        old["energy"]["trace"]["reasons"].pop(name, None)
    for holder, name in ((old["energy"], "cpu_shared_energy_j"), (old, "place")):
        holder.pop(name)
        holder["reasons"].pop(name, None)
    record = CellRecord.model_validate(old)
    assert {record.energy.trace.reasons[name] for name in added} == {OLDER}
    row = row_of(record)
    assert (row["net_energy_bare_j"], pd.isna(row["net_energy_j"]), pd.isna(row["place"])) == (6000.0, True, True)


def test_seconds_inside_the_energy_boundary_are_there_without_a_meter(ok_record):
    row = row_of(ok_record)
    assert row["training_s"] == ok_record.energy.window_s > 0
    assert all(pd.isna(row[name]) for name in ("mean_power_w", "idle_w", "net_energy_j", "gpu_uuid", "simulated"))


def test_cycles_tell_the_joules_so_far(metered_record):
    frame = cycles([metered_record.cell], metered_record)
    assert (frame["cumulative_j"] == 100.0 * (frame["cycle"] + 1)).all()


def test_joules_so_far_that_were_not_measured_are_missing(ok_record, metered_record):
    for record in (ok_record, without(metered_record, "cumulative_j")):
        assert cycles([record.cell], record)["cumulative_j"].isna().all()


def test_energy_that_was_not_measured_is_missing_with_its_reason_never_zero(ok_record):
    (row,) = cells([ok_record.cell], ok_record).to_dict("records")
    assert pd.isna(row["energy_j"])
    assert row["energy_method"] == "none"
    assert "CPU" in row["energy_reason"]


def test_cycles_have_a_row_per_layer_and_one_where_nothing_was_removed(ok_record):
    frame = cycles([ok_record.cell], ok_record)
    assert len(frame) == sum(max(1, len(c.layers)) for c in ok_record.result.cycles)
    assert list(frame["width_after"].dropna())[-1] == ok_record.result.widths["hidden0"]
    assert frame["entropy_in_bits"].notna().any()


def test_labels_show_the_options_that_differ_from_the_defaults(ok_record):
    (row,) = cells([ok_record.cell], ok_record).to_dict("records")
    assert (row["method"], row["model"], row["solver"]) == ("dtc", "mlp(widths=[32])", "lars")


def test_the_same_records_give_the_same_parquet_bytes(ok_record):
    first, second = (tables.parquet(cycles([ok_record.cell], ok_record)) for _ in range(2))
    assert first == second


def test_a_plan_without_any_record_still_makes_tables():
    planned = [cell("dtc")]
    assert len(cells(planned)) == 1
    assert cycles(planned).empty


def test_a_protocol_has_one_label_and_one_digest_whatever_other_cells_are_in_the_table():
    first, second = cell("dense", 0.0), cell("dense", 0.0, keep=0.7)
    together = cells([first, second])
    for place, one in enumerate([first, second]):
        alone = cells([one])[["protocol", "protocol_sha256"]].iloc[0]
        assert alone.equals(together[["protocol", "protocol_sha256"]].iloc[place].rename(0))
    assert together["protocol"].tolist() == [
        "standard(batch_size=32, cycle_steps=5, keep=0.8, lr=0.01, steps=60)",
        "standard(batch_size=32, cycle_steps=5, keep=0.7, lr=0.01, steps=60)",
    ]
    choice = {"name": "standard", "options": first.protocol.options, "version": 2}
    canonical = json.dumps(choice, sort_keys=True, separators=(",", ":"))
    assert together["protocol_sha256"][0] == hashlib.sha256(canonical.encode()).hexdigest()[:12]
    assert together["protocol_sha256"][1] != together["protocol_sha256"][0]


def test_cycles_name_the_protocol_as_cells_do(ok_record):
    made = cycles([ok_record.cell], ok_record)
    names = ["protocol", "protocol_sha256"]
    assert made[names].drop_duplicates().to_numpy().tolist() == cells([ok_record.cell])[names].to_numpy().tolist()


@pytest.mark.parametrize("chunk", [1, 2])
def test_tables_do_not_depend_on_how_many_records_become_a_frame_at_once(
    ok_record, failed_record, metered_record, chunk
):
    other = cell("random", seed=7)
    metered = metered_record.model_copy(update={"cell": other, "key": other.key})
    planned = [other, cell("dense", 0.0), ok_record.cell, failed_record.cell]
    records = failed_record, ok_record, metered
    whole, parts = made(planned, *records), made(planned, *records, chunk=chunk)
    pd.testing.assert_frame_equal(parts.cells, whole.cells)
    pd.testing.assert_frame_equal(parts.cycles, whole.cycles)
    assert list(parts.cells["key"]) == [c.key for c in planned]


def test_many_records_read_by_several_processes_give_the_tables_of_one(tmp_path, ok_record, monkeypatch):
    planned = [cell("random", seed=seed) for seed in range(5)]
    store = Store(tmp_path)
    with store.locked() as writer:
        for one in planned[1:]:
            writer.append(ok_record.model_copy(update={"cell": one, "key": one.key}))
    monkeypatch.setattr(contributions, "CHUNK", 1)
    monkeypatch.setattr(contributions, "FEW", 1)
    together = tables.assembled(planned, [contributions.read(store)], "tiny")
    alone = made(planned, *store.read().attempts[planned[1].key], *(store.read().record(c.key) for c in planned[2:]))
    pd.testing.assert_frame_equal(together.cells, alone.cells)
    pd.testing.assert_frame_equal(together.cycles, alone.cycles)
    assert list(together.cells["status"]) == ["missing", *["ok"] * 4]
