"""What calibrating a board found, in the run's folder: sealed, kept, and refused once it was altered."""

import json

import pytest

from dtcbench.energy.calibration import Calibration, Repeats
from dtcbench.publish.bundle import PUBLISHED
from dtcbench.publish.examine import _calibrations
from dtcbench.records.location import StoreError
from dtcbench.records.store import Store, file_kind


@pytest.fixture
def store(tmp_path):
    found = Calibration.of(
        **{"gpu_uuid": "GPU-aaaa", "device": "NVIDIA H200", "simulated": False, "driver": "570.1", "suite": "watts"},
        **{"key": "0" * 64, "dtcbench": "0.1.0", "taken_at": "2026-11-28T00:00:00+00:00", "loads": []},
        **{"tried": [Repeats(window_s=5, cool_down_s=0, joules=[100.0, 100.5])], "window_s": 5.0, "cool_down_s": 0.0},
    )
    store = Store(tmp_path)
    with store.locked() as writer:
        writer.save_calibration(found)
        with pytest.raises(StoreError, match="the board is calibrated"):
            writer.save_calibration(found)
    return store


def test_it_is_kept_by_board_and_published(store):
    assert store.calibrations()["GPU-aaaa"].window_s == 5
    assert file_kind("calibrations/GPU-aaaa.json") == "calibration"
    assert "calibration" in PUBLISHED
    assert list(_calibrations(store)) == []


@pytest.mark.parametrize("text", ["{", json.dumps({"record": {}, "sha256": "0" * 64})])
def test_what_is_no_sealed_calibration_is_refused(store, text):
    store.calibration_path("GPU-aaaa").write_text(text)
    with pytest.raises(StoreError, match="bring it back as it was, or remove it"):
        store.calibrations()


def test_an_altered_or_a_renamed_one_is_found(store):
    path = store.calibration_path("GPU-aaaa")
    path.write_text(path.read_text().replace('"window_s":5.0', '"window_s":1.0'))
    [found] = _calibrations(store)
    assert (found.rule, "altered" in found.reason) == ("calibration", True)
    path.write_text(path.read_text().replace('"window_s":1.0', '"window_s":5.0'))
    path.rename(store.calibration_path("GPU-bbbb"))
    [found] = _calibrations(store)
    assert "it is of GPU-aaaa" in found.reason
