"""Rules on the calibrations that lie with a run: they must be of its suite, its cells and its boards. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dtcbench.energy.calibration import Calibration
from dtcbench.energy.joules import SHORT_WINDOW_S
from dtcbench.plan.grid import Plan
from dtcbench.publish.findings import Finding, error, warning
from dtcbench.record import CellRecord


def of_run(calibrations: Mapping[str, Calibration], plan: Plan | None) -> Iterator[Finding]:
    """What is wrong with the calibrations by UUID in a run with this plan; None if its suite cannot be read."""
    planned = {cell.key for cell in plan.cells} if plan else set()
    for uuid, one in calibrations.items():
        where = _file(uuid)
        if one.simulated:
            yield error("calibration", where, "made on a simulated GPU: not for publication")
        if plan and one.suite != plan.suite.name:
            yield error("calibration", where, f"made for suite {one.suite}, not {plan.suite.name}")
        elif plan and one.key not in planned:
            yield error("calibration", where, f"made with cell {one.key[:12]}, which the suite does not plan")
        if not one.has_ended:
            yield warning("calibration", where, f"{one.reasons['window_s']}; `dtcbench calibrate` goes on")


def of_record(record: CellRecord, where: str, calibrations: Mapping[str, Calibration]) -> Iterator[Finding]:
    """What sets a record, in the file `where`, apart from the calibrations of its boards."""
    energy, provenance = record.energy, record.provenance
    if energy is None or energy.trace is None or provenance is None:
        return
    is_short = energy.window_s < SHORT_WINDOW_S
    for one in (calibrations[uuid] for uuid in boards(record) if uuid in calibrations):
        if one.device not in energy.trace.device:
            yield error(
                "calibration", where, f"of a {energy.trace.device}, and its board's calibration of {one.device}"
            )
        for what, then, now in (
            ("driver", one.driver, provenance.driver),
            ("dtcbench", one.dtcbench, provenance.dtcbench),
        ):
            if then != now:
                yield warning("calibration", where, f"by {what} {now}, and its board's calibration by {then}")
        if is_short and not _has_waited(record, one):
            yield error("calibration", where, f"the calibrated window needs a pause of {one.cool_down_s:g} s before it")
        if is_short and record.started_at < one.taken_at:  # both UTC in ISO 8601: their texts compare
            yield warning("calibration", where, "measured over less than a minute before its board was calibrated")


def unused(calibrations: Mapping[str, Calibration], measuring: set[str]) -> Iterator[Finding]:
    """The calibrations of other boards than those that measured the run's cells, if any did."""
    for uuid in sorted(calibrations.keys() - measuring) if measuring else ():
        yield warning("calibration", _file(uuid), "no cell of the run was measured on this board")


def windows_s(record: CellRecord, calibrations: Mapping[str, Calibration]) -> dict[str, float]:
    """By UUID, the calibrated windows that hold for a record, seconds: its cell waited for the pause before them."""
    return {
        uuid: one.window_s
        for uuid, one in calibrations.items()
        if one.window_s is not None and _has_waited(record, one)
    }


def boards(record: CellRecord) -> list[str]:
    """The UUIDs of the boards that measured the cell; none if none did."""
    return record.energy.trace.gpu_uuid.split(", ") if record.energy and record.energy.trace else []


def _has_waited(record: CellRecord, calibration: Calibration) -> bool:
    trace = record.energy.trace if record.energy else None
    return trace is not None and trace.cool_down_s >= (calibration.cool_down_s or 0.0)


def _file(gpu_uuid: str) -> str:
    return f"calibrations/{gpu_uuid}.json"
