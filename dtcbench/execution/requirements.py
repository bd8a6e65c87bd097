"""What a run requires of its machines: joules, a calibration of their boards, what torch compiles with."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import torch

from dtcbench.energy import nvml
from dtcbench.energy.meter import obstacle
from dtcbench.errors import UserError
from dtcbench.execution.nodes import Node, survey, without_joules
from dtcbench.execution.task import Job, uncalibrated
from dtcbench.plan.suite import Suite
from dtcbench.records.lookup import RUNS
from dtcbench.records.store import Store
from dtcbench.training.compiled import lacking


def has_gpu() -> bool:
    """Whether a cell that asks for a GPU can compute on this machine."""
    return torch.cuda.is_available() or nvml.is_simulated(os.environ)


def refuse_lacking(suite: Suite, address: str | None, job: Job, store: Store) -> None:
    """UserError if this machine, or a node of the cluster at `address`, lacks what the suite's `energy` or protocol
    asks for."""
    is_calibrated = suite.energy.min_window is None
    compiles = any(protocol.compile for protocol in suite.protocols)
    nodes = survey(address) if address and (suite.energy.required or is_calibrated or compiles) else None
    if compiles:
        _refuse_without_compiler(suite, nodes, job.device)
    _refuse_without_joules(suite, nodes)
    _refuse_uncalibrated(suite, nodes, job, store)


def calibrated(suite: Suite, store: Store) -> dict[str, tuple[float, float]]:
    """By UUID, the window and the pause of each board that was calibrated in this run, if the suite asks for them.

    UserError for a calibration that was made for another suite.
    """
    found = store.calibrations().values() if suite.energy.min_window is None else ()
    for one in found:
        if one.suite != suite.name:
            path = store.calibration_path(one.gpu_uuid)
            raise UserError(
                f"{path}: made for suite {one.suite}, not {suite.name}; remove it, and calibrate for this one"
            )
    return {
        one.gpu_uuid: (one.window_s, one.cool_down_s)
        for one in found
        if one.window_s is not None and one.cool_down_s is not None
    }


def _refuse_without_compiler(suite: Suite, nodes: Sequence[Node] | None, device: str) -> None:
    """UserError if a node that could run a cell, or this machine, cannot compile for the device."""
    if nodes is None:
        found = {platform.node(): lacking(device)}
    else:
        able = [node for node in nodes if suite.request.cells_on(node.resources) >= 1]
        found = {node.name: node.lacking[device] for node in able}
    if refused := [f"{name}: {why}" for name, why in found.items() if why]:
        raise UserError(
            f"suite {suite.name} compiles its training (protocol.compile), and that cannot be done on "
            f"{'; on '.join(refused)}, or remove protocol.compile"
        )


def _refuse_uncalibrated(suite: Suite, nodes: Sequence[Node] | None, job: Job, store: Store) -> None:
    """UserError if the suite's window is that of a calibration, and a board that may measure a cell has none."""
    if suite.energy.min_window is not None or not suite.resources.gpus:
        return
    if nodes is None:
        boards = nvml.visible_gpus(os.environ)
    else:
        able = [node for node in nodes if suite.request.cells_on(node.resources) >= 1]
        boards = [gpu for node in able for gpu in node.gpus if isinstance(gpu, nvml.Gpu)]
    found = store.calibrations()
    for gpu in boards:
        if gpu.uuid in job.calibrated or gpu.obstacle(is_whole=suite.energy.shared == "refuse"):
            continue
        if (one := found.get(gpu.uuid)) and one.has_ended and (why := one.reasons.get("window_s")):
            raise UserError(f"{store.calibration_path(gpu.uuid)}: {why}; give the suite a time as energy.min_window")
        out = "" if store.root == RUNS / suite.name else str(store.root)
        raise UserError(uncalibrated(suite.name, gpu.uuid, out))


def _refuse_without_joules(suite: Suite, nodes: Sequence[Node] | None) -> None:
    """UserError if the suite requires joules, and a node that could run a cell, or this machine, gives none."""
    if not suite.energy.required:
        return
    if nodes is None:
        why = obstacle(suite.request, suite.energy, os.environ)
        refused = [f"{platform.node()}: {why}"] if why else []
    else:
        refused = without_joules(nodes, suite.request, is_whole=suite.energy.shared == "refuse")
    if refused:
        raise UserError(
            f"suite {suite.name} requires joules (energy.required), and none can be had on {'; on '.join(refused)}; "
            "run it where `dtcbench doctor --require-energy` succeeds, or remove energy.required"
        )
