"""Runs made fit for publishing, and what a forger does to them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
from sketches import sketches
from typer.testing import CliRunner

from dtcbench import cli
from dtcbench.energy.calibration import Calibration, Repeats, candidates
from dtcbench.energy.joules import GpuContext, IdleBaseline, read
from dtcbench.energy.processes import ThisProcess
from dtcbench.energy.segments import Segment
from dtcbench.energy.trace import Trace, to_parquet
from dtcbench.records.compressed import content_of
from dtcbench.records.sealing import seal
from dtcbench.unavailable import Unavailable

GPU = "NVIDIA H200"
LIMIT_W = 700.0
OWN_PROCESS = 4711


def records(run: Path) -> list[Path]:
    """The record files of a run, by cell: dense first, then by method, each by seed."""

    def order(path):
        cell = content(path)["cell"]
        return cell["method"]["name"] != "dense", cell["method"]["name"], cell["seed"]

    return sorted((run / "records").glob("*.json*"), key=order)


def content(path: Path) -> dict:
    """What a sealed file holds."""
    return json.loads(content_of(path))["record"]


def reseal(path: Path, edit) -> None:
    """Change a record as who knows how seals are made can do it; `edit` changes its JSON values in place."""
    record = content(path)
    edit(record)
    path.write_bytes(gzip.compress(seal(record)) if path.name.endswith(".gz") else seal(record))


def claim_accuracy(record: dict, accuracy: float) -> None:
    """Give an ok record another accuracy, and no hits that contradict it."""
    record["result"].pop("hits", None)
    record["result"]["accuracy"] = accuracy


def made_clean(record: dict) -> None:
    """As if the record had been made from a clean checkout."""
    record["provenance"] |= {"commit": "c0ffee" + 34 * "0", "commit_clean": True, "lock_sha256": "10c" + 61 * "0"}
    record["provenance"]["reasons"] = {
        name: why
        for name, why in record["provenance"]["reasons"].items()
        if name not in ("commit", "commit_clean", "lock_sha256")
    }


def clean_run(folder: Path, suite: str) -> Path:
    """The folder of a finished run of the suite, called tiny, as if made from a clean checkout."""
    (folder / "tiny.yaml").write_text(suite)
    with contextlib.chdir(folder), sketches():
        ended = CliRunner().invoke(cli.app, ["run", "tiny.yaml", "--inline"])
        assert ended.exit_code == 0, ended.output
        for path in records(folder / "runs/tiny"):
            reseal(path, made_clean)
        assert CliRunner().invoke(cli.app, ["report", "tiny"]).exit_code == 0
    return folder / "runs/tiny"


def on_a_gpu(record: dict) -> None:
    """As if the cell had been run on a GPU."""
    record["provenance"] |= {
        "hardware_class": f"{GPU}, 139 GiB, {LIMIT_W:.0f} W",
        "device": "cuda",
        "gpu": GPU,
        "driver": "570.1",
        "reasons": {
            name: why for name, why in record["provenance"]["reasons"].items() if name not in ("gpu", "driver")
        },
    }


def metered(path: Path, *, watts=300.0, seconds=61.0, name=GPU, simulated=False) -> Path:
    """Put a meter's reading into a record: so many watts for so long, once. The file with the samples."""
    trace, segments = power(watts, seconds)
    file = to_parquet(trace, segments, {})
    energy = read(
        trace, segments, gpu_context(name, simulated), Unavailable("no RAPL"), [], hashlib.sha256(file).hexdigest()
    )

    def edit(record):
        on_a_gpu(record)
        record["energy"] = energy.model_dump(mode="json")
        record["wall_s"] = seconds + 10

    reseal(path, edit)
    place = path.parent.parent / "power" / path.with_suffix(".parquet").name
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(file)
    return place


def calibration(uuid: str, window_s: float, **changes: object) -> Calibration:
    """What calibrating a board would find if repeats agreed from this window on, but for the changes."""
    pairs = candidates()
    tried = [
        Repeats(
            window_s=window, cool_down_s=pause, joules=[100.0, 100.0, 100.0, 100.0 if window >= window_s else 110.0]
        )
        for window, pause in pairs[: 1 + pairs.index((window_s, 0.0))]
    ]
    return Calibration.of(
        **{"gpu_uuid": uuid, "device": GPU, "simulated": False, "driver": "570.1", "suite": "tiny", "key": "0" * 64}
        | {"dtcbench": "0.1.0", "taken_at": "2026-01-01T00:00:00+00:00", "loads": []}
        | {"tried": tried, "window_s": window_s, "cool_down_s": 0.0}
        | changes,
    )


def gpu_context(name: str, simulated: bool) -> GpuContext:
    """A whole GPU of the cell's own."""
    return GpuContext(
        device=name,
        uuids=("GPU-aaaa",),
        simulated=simulated,
        interval_s=0.025,
        shared=None,
        label_shared=False,
        own=ThisProcess(frozenset({OWN_PROCESS}), is_nested=False, has_context=False),
        baseline=IdleBaseline(0.0, True, frozenset(), Unavailable("the suite asks for no idle measurement")),
    )


def power(watts: float, seconds: float) -> tuple[Trace, list[Segment]]:
    """A board at constant power, polled every 25 ms from two seconds before the training on."""
    t = np.arange(0, seconds + 3, 0.025)
    refreshed = np.floor(t / 0.1 + 1e-9) * 0.1
    columns = {
        "t_s": 1000 + t,
        "counter_mj": np.floor(1000 * watts * refreshed) + 5e6,
        "instant_w": np.full_like(t, watts),
        "power_limit_w": np.full_like(t, LIMIT_W),
    }
    processes = {OWN_PROCESS: (1000.0, 1003.0 + seconds)}
    half = 1002 + seconds / 2
    segments = [
        Segment(1002.0, half - 0.5, "train", 0),
        Segment(half - 0.5, half, "compress", 0),
        Segment(half, 1002 + seconds, "train", 0),
    ]
    return Trace(columns, {}, processes, None, 1.0), segments
