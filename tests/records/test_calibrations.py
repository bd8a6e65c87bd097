"""What calibrating a board found, in the run's folder: sealed, kept, and refused once it was altered."""

import json

import pytest
from suites_for_tests import TINY

from dtcbench.energy import nvml
from dtcbench.energy.calibration import Calibration, Repeats, candidates, shortest
from dtcbench.energy.nvml import Gpu
from dtcbench.errors import UserError
from dtcbench.execution.requirements import calibrated, refuse_lacking
from dtcbench.execution.task import Job
from dtcbench.plan.names import REGISTERED
from dtcbench.plan.suite import parse
from dtcbench.publish.bundle import PUBLISHED
from dtcbench.publish.examine import _calibrated
from dtcbench.records.location import StoreError
from dtcbench.records.sealing import seal
from dtcbench.records.store import Store, file_kind

APART = Repeats(window_s=5, cool_down_s=0, joules=[100.0, 110.0, 100.0, 100.0])
CLOSE = Repeats(window_s=10, cool_down_s=0, joules=[100.0, 100.5, 100.2, 100.1])


@pytest.fixture
def store(tmp_path):
    found = Calibration.of(
        **{"gpu_uuid": "GPU-aaaa", "device": "NVIDIA H200", "simulated": False, "driver": "570.1", "suite": "watts"},
        **{"key": "0" * 64, "dtcbench": "0.1.0", "taken_at": "2026-11-28T00:00:00+00:00", "loads": []},
        **{
            "tried": [Repeats(window_s=5, cool_down_s=0, joules=[100.0, 100.5, 100.2, 100.1])],
            "window_s": 5.0,
            "cool_down_s": 0.0,
        },
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
    assert _calibrated(store) == (store.calibrations(), [])


@pytest.mark.parametrize("text", ["{", json.dumps({"record": {}, "sha256": "0" * 64})])
def test_what_is_no_sealed_calibration_is_refused(store, text):
    store.calibration_path("GPU-aaaa").write_text(text)
    with pytest.raises(StoreError, match="bring it back as it was, or remove it"):
        store.calibrations()


def test_an_altered_or_a_renamed_one_is_found(store):
    path = store.calibration_path("GPU-aaaa")
    path.write_text(path.read_text().replace('"window_s":5.0', '"window_s":1.0'))
    known, [found] = _calibrated(store)
    assert (known, found.rule, "altered" in found.reason) == ({}, "calibration", True)
    path.write_text(path.read_text().replace('"window_s":1.0', '"window_s":5.0'))
    path.rename(store.calibration_path("GPU-bbbb"))
    _, [found] = _calibrated(store)
    assert "it is of GPU-aaaa" in found.reason


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *[("joules", value) for value in ([0.0] * 4, [1e308] * 4, [10**400] * 4, ["NaN"] * 4, [-1.0] * 4, [5.0], [])],
        *[("window_s", value) for value in (-3.0, 1e12, 10.0, "Infinity")],
        *[("cool_down_s", value) for value in (-1.0, 10.0)],
    ],
)
def test_a_strangers_calibration_drives_no_measuring_and_ends_in_a_finding(store, place, value):
    path = store.calibration_path("GPU-aaaa")
    record = json.loads(path.read_text())["record"]
    record["tried"][0][place] = value
    if place != "joules":
        record[place] = value  # it agrees with itself
    path.write_bytes(seal(record))
    known, [found] = _calibrated(store)
    assert (known, found.rule) == ({}, "calibration")
    with pytest.raises(StoreError, match="bring it back as it was, or remove it"):
        calibrated(parse(f"{TINY}\nenergy: {{min_window: calibrated}}\n", "tiny.yaml", REGISTERED), store)


def test_a_run_is_not_measured_by_a_calibration_for_another_suite(store):
    suite = parse(f"{TINY}\nenergy: {{min_window: calibrated}}\n", "tiny.yaml", REGISTERED)
    with pytest.raises(UserError, match=r"GPU-aaaa\.json: made for suite watts, not tiny; remove it, and calibrate"):
        calibrated(suite, store)


def test_a_board_whose_repeats_agree_at_no_window_is_not_sent_to_calibrate_again(store, monkeypatch):
    suite = parse(f"{TINY}\nresources: {{gpus: 1}}\nenergy: {{min_window: calibrated}}\n", "tiny.yaml", REGISTERED)
    board = Gpu(0, "NVIDIA H200", "GPU-bbbb", 140.0, 700.0, "570.1", False, 5e6, 300.0)
    monkeypatch.setattr(nvml, "visible_gpus", lambda environment: [board])
    tried = [APART.model_copy(update={"window_s": window, "cool_down_s": pause}) for window, pause in candidates()]
    for number, words in ((1, "has no window by a calibration; run `CUDA_VISIBLE_DEVICES=GPU-bbbb"), (18, "give the")):
        found = {"tried": tried[:number], "window_s": (none := shortest(tried[:number])), "cool_down_s": none}
        known = {name: value for name, value in store.calibrations()["GPU-aaaa"] if name != "reasons"}
        with store.locked() as writer:
            writer.save_calibration(Calibration.of(**known | {"gpu_uuid": "GPU-bbbb"} | found))
        with pytest.raises(UserError, match=words):
            refuse_lacking(suite, None, Job.of(suite), store)


def test_a_calibration_that_has_not_ended_grows_and_one_that_has_stays(store):
    began = Calibration.of(
        **{name: value for name, value in store.calibrations()["GPU-aaaa"] if name not in ("tried", "gpu_uuid")}
        | {"gpu_uuid": "GPU-bbbb", "window_s": (none := shortest([APART])), "cool_down_s": none},
        tried=[APART],
    )
    with store.locked() as writer:
        assert store.begun_calibration("GPU-bbbb") is None
        writer.save_calibration(began)
        assert store.begun_calibration("GPU-bbbb") == began
        assert began.reasons["window_s"].startswith("1 of 18 windows so far: ")
        writer.save_calibration(
            began.model_copy(update={"tried": [APART, CLOSE], "window_s": 10.0, "cool_down_s": 0.0})
        )
        with pytest.raises(StoreError, match="the board is calibrated"):
            writer.save_calibration(began)
