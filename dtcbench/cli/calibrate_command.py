"""`dtcbench calibrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dtcbench.cli.common import Out, Plugins, SuiteName, say

if TYPE_CHECKING:
    from dtcbench.energy.calibration import Load, Repeats


def calibrate(suite: SuiteName, out: Out = None, plugin: Plugins = None) -> None:
    """Find the shortest window at which repeats agree on this GPU. The same command resumes.

    The suite's first cell is repeated, on the first GPU of CUDA_VISIBLE_DEVICES. What is found is kept, sealed, in the
    run's folder, window by window.

    Example: dtcbench calibrate energy
    """
    from dtcbench.energy.calibration import WITHIN_PCT
    from dtcbench.execution.calibrating import board, calibrated
    from dtcbench.execution.suite_run import read_suite
    from dtcbench.execution.task import Job
    from dtcbench.records.lookup import run_of
    from dtcbench.registry import load_plugins

    plugins = load_plugins(plugin or ())
    _, plan = read_suite(suite, out)
    job, cell, store = Job.of(plan.suite, plugins), plan.cells[0], run_of(plan.suite.name, out)
    gpu = board(job)
    with store.locked() as writer:  # from here on: a run's cell on the board would spoil hours of repeats
        begun = store.begun_calibration(gpu.uuid)
        say(f"{gpu.name}, {gpu.uuid}: repeats of cell {cell.key[:12]} ({cell.label})")
        if begun:
            say(f"it goes on from {begun.taken_at}; {begun.reasons['window_s']}")
        for found in calibrated(gpu, cell, job, begun):
            file = writer.save_calibration(found)
            say(_line(found.tried[-1]))
    say(*map(_load_line, found.loads))
    if found.window_s is None:
        say(f"{file}: {found.reasons['window_s']}")
        return
    pause = f" after a pause of {found.cool_down_s:g} s" if found.cool_down_s else ""
    say(f"{file}: repeats differ by less than {WITHIN_PCT:g} % from windows of {found.window_s:g} s{pause} on")


def _line(repeats: Repeats) -> str:
    where = f"window {repeats.window_s:g} s, pause {repeats.cool_down_s:g} s"
    if repeats.joules is None:
        return f"{where}: {repeats.reasons['joules']}"
    return f"{where}: {len(repeats.joules)} repeats differ by {repeats.spread_pct:.2f} %"


def _load_line(load: Load) -> str:
    ways = {"counter": load.counter_j, "power": load.integral_j}
    watts = [f"{joules / load.seconds:.1f} W by {way}" for way, joules in ways.items() if joules is not None]
    apart = f", which differ by {load.deviation_pct:+.2f} %" if load.deviation_pct is not None else ""
    return f"{load.name} for {load.seconds:.1f} s: {' and '.join(watts) or 'not measured'}{apart}"
