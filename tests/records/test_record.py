import pytest
from pydantic import ValidationError

from dtcbench.record import CellRecord, Energy

ENERGY = {
    "energy_j": None,
    "method": "none",
    "scope": "none",
    "window_s": 1.0,
    "repeats": 1,
    "cpu_energy_j": 1.0,
    "trace": None,
    "trace_sha256": "0",
    "cross_check_pct": 1.0,
    "quantisation_j": 0.1,
    "flags": [],
}


def test_a_null_needs_its_reason():
    with pytest.raises(ValidationError, match="energy_j: null without a reason"):
        Energy(**ENERGY, reasons={"trace": "no meter"})
    assert Energy(**ENERGY, reasons={"energy_j": "no meter", "trace": "no meter"}).energy_j is None


def test_ok_without_a_result_is_no_record(failed_record):
    values = failed_record.model_dump()
    with pytest.raises(ValidationError, match="status ok and result absent"):
        CellRecord.model_validate({**values, "status": "ok"})


def test_a_record_whose_key_is_not_its_cells_is_refused(failed_record):
    with pytest.raises(ValidationError, match="is not the key of the cell it holds"):
        CellRecord.model_validate({**failed_record.model_dump(), "key": "0" * 64})


def test_a_record_of_another_schema_version_is_refused(failed_record):
    with pytest.raises(ValidationError, match="schema_version"):
        CellRecord.model_validate({**failed_record.model_dump(), "schema_version": 1})


def test_a_null_that_is_written_down_needs_its_reason_whatever_its_default(ok_record):
    values = ok_record.model_dump(mode="json")
    values["provenance"] |= {"dataset_sha256": None, "reasons": {}}
    with pytest.raises(ValidationError, match=r"dataset_sha256.*null without a reason"):
        CellRecord.model_validate(values)
