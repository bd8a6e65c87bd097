import pytest
from pydantic import ValidationError

from dtcbench.publish.compare import differences
from dtcbench.record import OLDER, CellRecord, Energy, Explained

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


class Before(Explained):
    """A record's part as an earlier dtcbench wrote it."""

    accuracy: float


class Since(Before):
    """The same with a number that was added later."""

    dead_share: float | None = None


def test_a_record_from_before_a_number_was_added_lacks_it_and_says_why():
    old = Since.model_validate_json(Before(accuracy=0.5).model_dump_json())
    assert (old.dead_share, old.reasons) == (None, {"dead_share": OLDER})
    assert Since.of(accuracy=0.5, dead_share=0.1).dead_share == 0.1
    with pytest.raises(ValidationError, match="dead_share: null without a reason"):
        Since(accuracy=0.5, dead_share=None)
    with pytest.raises(TypeError, match="dead_share: give a value, or Unavailable with the reason"):
        Since.of(accuracy=0.5)


def test_a_number_that_an_older_record_lacks_is_not_compared():
    old, new = Since(accuracy=0.5), Since(accuracy=0.5, dead_share=0.1)
    other = Since(accuracy=0.6, dead_share=0.1)
    assert list(differences(old.model_dump(), new.model_dump())) == []
    assert list(differences(old.model_dump(), other.model_dump())) == [("accuracy", 0.5, 0.6)]
