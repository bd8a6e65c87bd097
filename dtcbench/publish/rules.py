"""Rules on one record and the samples behind it, and on a run as a whole by its tables. Pure.

A record from elsewhere may say anything that its schema allows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from dtcbench.analysis.energy_columns import DISQUALIFYING
from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import DENSE, IDENTITY, POOL, Pool, distinct, tidy, unlike_stacks
from dtcbench.analysis.stats import MIN_SEEDS
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.joules import short_below_s
from dtcbench.energy.nvml import SIMULATED
from dtcbench.energy.segments import count_trainings, counted, total_s, windows
from dtcbench.energy.summary import both_joules
from dtcbench.energy.trace import Trace, segments_of
from dtcbench.execution.provenance import NO_VERSION, PACKAGES
from dtcbench.hits import unpacked
from dtcbench.plan.cell import Cell
from dtcbench.plan.joule_budget import Measured, givers, steps_for_joules, unlike
from dtcbench.publish.findings import Finding, error, note, warning
from dtcbench.record import INCONCLUSIVE, MISSING, CellRecord, Energy, Provenance, Result, Status
from dtcbench.unavailable import Unavailable

OVERSHOOT = 0.05
"""Relative error of a board's reading, and so of its mean against its limit (docs/energy.md, What remains
uncertain)."""
TOLERANCE = 0.02
"""Of joules computed again from samples, in addition to the uncertainty at the edges of the windows."""
_LIMIT = re.compile(r"^(?:(\d{1,4}) × )?.*, (\d{1,5}) W$", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST = 2**63
"""No count is larger."""


def of_record(record: CellRecord, where: str, calibrated: Mapping[str, float]) -> Iterator[Finding]:
    """What the record says against itself. One that is not ok has nothing to say.

    Parameters
    ----------
    where : its file
    calibrated : by a board's UUID, the window in seconds of the sealed calibration that holds for the record
    """
    if record.status is not Status.OK or record.result is None:
        return
    yield from _numbers(record, record.result, where)
    if record.provenance is None:
        yield error("provenance", where, "nothing says where it was made; run its cell again")
    else:
        yield from _provenance(record.provenance, where)
    if record.energy is None:
        yield error("meter", where, "nothing says how its energy was measured, or why not; run its cell again")
        return
    yield from _meter(record.energy, record.provenance, where)
    if record.energy.energy_j is not None:
        yield from _window(record.energy, calibrated, where)
        yield from _power(record.energy, limit_of_class(record.provenance), where)


def of_trace(energy: Energy, samples: pd.DataFrame, where: str) -> Iterator[Finding]:
    """What the samples say against the energy that is said to come from them; `where` is their file."""
    if energy.energy_j is None or energy.trace is None:
        return
    try:
        trace, segments = _trace(samples), list(segments_of(samples))
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as wrong:
        yield error("traces", where, f"holds no samples of power: {type(wrong).__name__}: {wrong}")
        return
    if not (inside := windows(counted(segments))):
        yield error("traces", where, "no sample lies inside the energy boundary")
        return
    window_s, repeats = total_s(inside), float(count_trainings(counted(segments)))
    counter_j, integral_j = both_joules(trace, segments)
    edges_s = 2 * len(inside) * max(energy.trace.interval_s, REFRESH_S)
    slack = TOLERANCE + edges_s / window_s if window_s else math.inf
    compared = (
        ("counter_j", energy.trace.counter_j, counter_j),
        ("integral_j", energy.trace.integral_j, integral_j),
        ("energy_j", energy.energy_j, integral_j if energy.method == "integral" else counter_j),
        ("window_s", energy.window_s, window_s),
        ("repeats", float(energy.repeats), repeats),
    )
    for name, recorded, computed in compared:
        if recorded is not None and not _near(recorded, computed, slack):
            seen = "none" if isinstance(computed, Unavailable) else f"{computed:.6g}"
            yield error("traces", where, f"the record says {name} {recorded:.6g}, its samples give {seen}")
    limits = trace.column("power_limit_w")
    known = limits[np.isfinite(limits)]
    yield from _power(energy, float(known.max()) if known.size else None, where)


def limit_of_class(provenance: Provenance | None) -> float | None:
    """The power limit in a hardware class such as `NVIDIA H200, 139 GiB, 700 W` or `4 × NVIDIA H200, 139 GiB, 700 W`;
    None where it tells none."""
    found = _LIMIT.search(provenance.hardware_class) if provenance else None
    return float(found[2]) * int(found[1] or 1) if found else None


def _numbers(record: CellRecord, result: Result, where: str) -> Iterator[Finding]:
    shares = {
        name: getattr(result, name)
        for name in ("accuracy", "accuracy_before", "accuracy_after", "validation_accuracy", "sparsity")
    }
    for name, value in shares.items():
        if value is not None and not 0 <= value <= 1:
            yield error("figures", where, f"{name} {value:g} is not between 0 and 1")
    if result.r2 is not None and not -math.inf < result.r2 <= 1:
        yield error("figures", where, f"r2 {result.r2:g} is not a number up to 1")
    if result.r2 is not None and result.accuracy is not None:
        yield error("figures", where, "both accuracy and r2: a target is of classes or of values")
    counts = {name: getattr(result, name) for name in ("steps", "parameters", "training_flops", "inference_flops")}
    for name, count in counts.items():
        if not 0 <= count < _MOST:
            yield error("figures", where, f"{name} is not a count")
    if not 0 < result.parameters_dense < _MOST or result.parameters > result.parameters_dense:
        yield error("figures", where, "more parameters than the dense network has")
    seconds = (result.train_s, result.compress_s, result.evaluate_s, result.compile_s or 0.0)
    if not all(0 <= taken < math.inf for taken in (*seconds, record.wall_s)):
        yield error("figures", where, "a time is negative or without end")
    elif record.continued_at is None and sum(seconds) > 1.01 * record.wall_s + 1:
        yield error("figures", where, f"{sum(seconds):.4g} s of work in {record.wall_s:.4g} s")
    if wrong := _hits_wrong(record, result):
        yield error("figures", where, wrong)
    if any(not 0 < layer.width_after < _MOST for cycle in result.cycles for layer in cycle.layers):
        yield error("figures", where, "a layer is left with no neuron")


def _hits_wrong(record: CellRecord, result: Result) -> str | None:
    """What is wrong with the hits; None if nothing is, or there are none."""
    if result.hits is None or result.test_samples is None:
        return None
    try:
        hits = unpacked(result.hits, result.test_samples)
    except ValueError as wrong:
        return f"hits: {wrong}"
    # The published accuracy is a mean over batches, of which the last is smaller.
    if record.cell.protocol.name != "published" and hits.mean() != result.accuracy:
        return f"{np.count_nonzero(hits)} hits of {len(hits)} test samples are not accuracy {result.accuracy:g}"
    return None


def of_plan(cell: Cell, planned: Cell, where: str) -> Iterator[Finding]:
    """Options that a record states as defaults, and so leaves out of its key, though they are others."""
    meant = {"protocol": planned.protocol, **planned.choices}
    for noun, choice in {"protocol": cell.protocol, **cell.choices}.items():
        for option, value in choice.defaults.items():
            default = meant[noun].values.get(option, value)
            if value != default:
                what = f"{noun} {choice.name}: {option} {value!r} is not the default {default!r}"
                yield error("cells", where, f"{what}, and not in the record's key; run its cell again")


def _provenance(provenance: Provenance, where: str) -> Iterator[Finding]:
    remedy = "run it from a clean git checkout of dtcbench, or from an installed wheel"
    if provenance.commit is None and provenance.source_sha256 is not None:
        yield from _release(provenance, provenance.source_sha256, where)
    elif provenance.commit is None:
        yield error("provenance", where, f"no commit is recorded ({provenance.reasons.get('commit')}); {remedy}")
    elif not provenance.commit_clean:
        state = "uncommitted changes" if provenance.commit_clean is False else "a checkout in an unknown state"
        yield error("provenance", where, f"made with {state} on commit {provenance.commit[:12]}; {remedy}")
    if provenance.commit is not None and provenance.lock_sha256 is None:
        yield error("provenance", where, f"no requirements.lock is recorded; {remedy}")
    for name, digest in sorted(provenance.plugins.items()):
        yield warning("provenance", where, f"made with plug-in {name} ({digest[:12]}), whose source is not published")


def _release(provenance: Provenance, source: str, where: str) -> Iterator[Finding]:
    """An installed release is identified by its digest and by the versions of the installed packages."""
    if not _SHA256.fullmatch(source):
        yield error("provenance", where, f"source_sha256 {source} is not a SHA-256; run its cell again")
    unknown = [name for name in PACKAGES if provenance.packages.get(name) in (None, "", NO_VERSION)]
    if unknown:
        yield error("provenance", where, f"no version of {', '.join(unknown)} is recorded; run its cell again")
    yield note("provenance", where, f"made by an installed dtcbench {provenance.dtcbench} (source {source[:12]})")


def _meter(energy: Energy, provenance: Provenance | None, where: str) -> Iterator[Finding]:
    trace = energy.trace
    names = [trace.device if trace else "", (provenance and provenance.gpu) or ""]
    names.append(provenance.hardware_class if provenance else "")
    if any(name.startswith(SIMULATED) for name in names) or "simulated" in energy.flags or (trace and trace.simulated):
        yield error("meter", where, "a simulated GPU measures nothing; run the cell on a real one")
    if energy.energy_j is None:
        return
    absent = [name for name in ("trace", "trace_sha256") if getattr(energy, name) is None]
    if absent or energy.method == "none" or energy.scope == "none" or (provenance and provenance.device == "cpu"):
        yield error("meter", where, f"{energy.energy_j:g} J that no meter is named for, or no samples; null it")
    if not 0 < energy.energy_j < math.inf:
        yield error("meter", where, f"{energy.energy_j:g} J is impossible for a training")
    stated = {"counter": trace and trace.counter_j, "integral": trace and trace.integral_j}.get(energy.method)
    if stated is not None and stated != energy.energy_j:
        yield error("meter", where, f"energy_j {energy.energy_j:.6g} is not the {energy.method}'s {stated:.6g}")
    if spoiling := sorted(set(energy.flags) & (set(DISQUALIFYING) - {"simulated", "short"})):
        yield warning("meter", where, f"flags that bar a rank: {', '.join(spoiling)}")


def _window(energy: Energy, calibrated: Mapping[str, float], where: str) -> Iterator[Finding]:
    uuids = energy.trace.gpu_uuid.split(", ") if energy.trace else []
    least_s = short_below_s(uuids, calibrated)
    if not energy.window_s >= least_s or "short" in energy.flags:
        yield error(
            "window",
            where,
            f"joules were read over {energy.window_s:.3g} s or too few samples, below {least_s:g} s; "
            "raise the suite's energy.min_window, or measure nothing with `energy: {meter: none}`",
        )


def _power(energy: Energy, limit_w: float | None, where: str) -> Iterator[Finding]:
    seconds = energy.window_s / energy.repeats if energy.repeats > 0 else math.nan
    mean_w = energy.energy_j / seconds if energy.energy_j is not None and seconds > 0 else math.nan
    is_of_gpu = energy.scope != "module"  # whose limit is a part of what its module may draw
    if is_of_gpu and limit_w is not None and not mean_w <= limit_w * (1 + OVERSHOOT):
        yield error("power", where, f"a mean power of {mean_w:.4g} W, above the board's limit of {limit_w:.4g} W")


def _near(recorded: float, computed: float | Unavailable, slack: float) -> bool:
    return not isinstance(computed, Unavailable) and abs(recorded - computed) <= slack * abs(computed)


def _trace(samples: pd.DataFrame) -> Trace:
    """The samples as the meter had them. KeyError, ValueError or TypeError if they are not samples."""
    numbers = samples.drop(columns=["phase", "training"])
    columns = {str(name): numbers[name].to_numpy(dtype=np.float64) for name in numbers}
    if not len(samples) or not np.isfinite(columns["t_s"]).all() or (np.diff(columns["t_s"]) < 0).any():
        raise ValueError("its times do not run on")
    return Trace(columns, errors={}, processes={}, lost_s=None, sampler_cpu_pct=0.0)


_NO_END = {MISSING, *(status.value for status in INCONCLUSIVE)}
_COURSE = ["cycle", "step", "loss", "validation_before", "test_after"]
"""What tells one training from another, cycle by cycle: no two seeds share a loss to its last bit."""


def of_tables(cells: pd.DataFrame, cycles: pd.DataFrame, excluded: Iterable[Cell] = ()) -> Iterator[Finding]:
    """What the cells of a run say together; `excluded` are those that its suite leaves out with a reason."""
    cells = tidy(cells)
    ok = cells[cells["status"] == "ok"]
    if ok.empty:
        yield error("cells", "", "no cell is ok: there is nothing to publish")
    yield from _ends(cells)
    yield from _pairs(cells, ok, {(one.dataset.label, one.model.label, one.seed) for one in excluded if one.is_dense})
    yield from _hardware(ok)
    yield from _seeds(ok, cycles)


def _ends(cells: pd.DataFrame) -> Iterator[Finding]:
    for cell in cells[cells["status"] != "ok"].to_dict("records"):
        where, status = f"cell {cell['key'][:12]}", cell["status"]
        if status in _NO_END:
            yield error("cells", where, f"{status}: it is planned and has no end of its own; run the suite again")
        else:
            yield warning("cells", where, f"{status}: it stands in the table as such")


def _pairs(cells: pd.DataFrame, ok: pd.DataFrame, excluded: set[tuple[str, str, int]]) -> Iterator[Finding]:
    places = [*POOL, "seed"]
    dense = cells[cells["method"] == DENSE].drop_duplicates(places).set_index(places)["status"]
    for place, rows in ok[ok["method"] != DENSE].groupby(places, sort=True):
        pool, seed = Pool(*map(str, place[:-1])), place[-1]
        is_excluded = (pool.dataset, pool.model, seed) in excluded
        status = dense.get(place, "left out by the suite" if is_excluded else "absent")
        if status == "ok":
            continue
        of_seed = f"{pool.title}, seed {seed}"
        reason = f"{len(rows)} cells have no dense cell to compare with: it is {status}"
        yield (error if status in (*_NO_END, "absent") else warning)("pairs", of_seed, reason)


def of_budgets(cells: pd.DataFrame, planned: Iterable[Cell]) -> Iterator[Finding]:
    """Cells of the plan that took other steps than the joules of the cells that decide their budget allow."""
    ok = {cell["key"]: cell for cell in cells[cells["status"] == "ok"].to_dict("records")}
    for key, giver in givers(planned).items():
        if key not in ok:
            continue
        where = f"cell {key[:12]}"
        if giver.dense not in ok or giver.compressed not in ok:
            yield error("cells", where, "the cells whose joules are its budget are not ok; run the suite again")
            continue
        dense_j, budget_j, taken = ok[giver.dense]["energy_j"], ok[giver.compressed]["energy_j"], ok[key]["steps"]
        how = [
            Measured(ok[k]["gpu_uuid"], ok[k]["energy_method"], ok[k]["energy_scope"])
            for k in (giver.dense, giver.compressed)
        ]
        if not dense_j > 0 or not budget_j > 0:
            yield error("cells", where, "the joules that are its budget were not measured; run the suite with a meter")
        elif differing := unlike(*how):
            yield error("cells", where, f"the joules of dense and dtc do not compare: {differing}")
        elif taken != (steps := steps_for_joules(budget_j, dense_j, int(ok[giver.dense]["steps"]))):
            yield error("cells", where, f"{taken:g} steps, and its budget of {budget_j:.4g} J allows {steps}")


def _hardware(ok: pd.DataFrame) -> Iterator[Finding]:
    for pool, rows in ok.groupby(POOL, sort=True):
        where = Pool(*map(str, pool)).title
        if len(classes := distinct(rows["hardware_class"])) > 1:
            remedy = "run the suite once per class, by resources.accelerator or on one machine"
            yield error("hardware", where, f"{len(classes)} hardware classes: {'; '.join(classes)}; {remedy}")
        if len(stacks := unlike_stacks(distinct(rows["stack"]))) > 1:
            yield warning("hardware", where, f"{len(stacks)} stacks of versions: {'; '.join(stacks)}")


def _seeds(ok: pd.DataFrame, cycles: pd.DataFrame) -> Iterator[Finding]:
    once = cycles.drop_duplicates(["key", "cycle"])
    marks = once.assign(mark=pd.util.hash_pandas_object(once[_COURSE], index=False))
    courses = marks.groupby("key", sort=False)["mark"].agg(tuple).to_dict()
    for names, rows in ok.groupby(IDENTITY, sort=True, dropna=False):
        row = dict(zip(IDENTITY, names, strict=True))
        sparsity = float(rows["sparsity"].iloc[0])
        removed = "by schedule" if math.isnan(sparsity) else f"at sparsity {sparsity:g}"
        where = f"{series_label(str(row['method']), str(row['solver']))} {removed}, {row['model']}"
        noun = "accuracy" if rows["accuracy"].notna().any() else "R2"
        seen: dict[object, int] = {}
        for cell in rows[["key", "seed", "score"]].to_dict("records"):
            # Accuracies alone are fractions of few test samples and may well agree; whole courses do not.
            course = str(cell["score"]), courses.get(cell["key"], cell["key"])
            if course in seen:
                first = seen[course]
                reason = f"seeds {first} and {cell['seed']} have the same {noun} and losses to the last bit"
                yield error("seeds", where, f"{reason}: one is a copy of the other")
            seen.setdefault(course, cell["seed"])
        if len(rows) >= MIN_SEEDS and rows["score"].nunique() == 1:
            yield warning("seeds", where, f"{len(rows)} seeds have one and the same {noun}")
