"""One cell on the terminal: configuration, attempts, accuracy, cost, energy, cycle by cycle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dtcbench.analysis.leaderboard import METRICS
from dtcbench.record import CellRecord, Cycle, Layer, Result, decisive
from dtcbench.report.blocks import Block, Code, Facts, Heading, Paragraph, Table, texts
from dtcbench.report.energy_rows import energy_rows, use_rows
from dtcbench.report.score import R2, Score, score_of_result
from dtcbench.text import ABSENT, number_text


def cell_view(attempts: Sequence[CellRecord]) -> Iterator[Block]:
    """Everything recorded of one cell; `attempts` are its records, the oldest first."""
    record = decisive(attempts)
    yield Heading(record.cell.label)
    yield Facts(configuration_rows(record))
    yield from map(Paragraph, attempt_lines(attempts))
    if record.detail:
        yield Code(record.detail)
    if record.result:
        yield Facts(number_rows(record))
        yield cycle_table(record.result)


def attempt_lines(attempts: Sequence[CellRecord]) -> list[str]:
    """How each attempt ended, when it began, how long it took, and where its parts ran."""
    return [
        ", ".join([f"attempt {r.attempt}: {r.status}", r.started_at, f"{r.wall_s:.1f} s", *_parts(r)])
        + (f": {r.reason}" if r.reason else "")
        for r in attempts
    ]


def _parts(record: CellRecord) -> list[str]:
    """Where each part of a training that went on ran; nothing of one that began with the first step."""
    parts = record.parts or []
    return [f"from step {part.step} on node {part.node}" for part in parts] if len(parts) > 1 else []


def configuration_rows(record: CellRecord) -> list[tuple[str, str]]:
    """What the cell is and where it ran, by name."""
    cell = record.cell
    rows = [("key", record.key), ("suite", record.suite)]
    choices = {"protocol": cell.protocol, "model": cell.model, "dataset": cell.dataset, "method": cell.method}
    rows += [(name, choice.full_label) for name, choice in choices.items()]
    rows += [("solver", cell.solver.full_label if cell.solver else ABSENT)]
    rows += [("sparsity", "by the protocol's schedule" if cell.sparsity is None else f"{cell.sparsity:g}")]
    rows += [("seed", str(cell.seed))]
    if record.provenance:
        p = record.provenance
        rows += [
            ("hardware", p.hardware_class),
            ("threads", str(p.threads)),
            ("packages", ", ".join(f"{name} {version}" for name, version in sorted(p.packages.items()))),
            ("kernels", ", ".join(f"{name} {kind}" for name, kind in p.kernels.items())),
            ("dtcbench", p.code),
            ("data", f"SHA-256 {p.dataset_sha256}" if p.dataset_sha256 else f"– ({p.reasons['dataset_sha256']})"),
        ]
    return rows


def number_rows(record: CellRecord) -> list[tuple[str, str]]:
    """What an ok cell measured, by name: a number, or the reason why it is missing."""
    if record.result is None:
        return []
    energy = energy_rows(record.energy) if record.energy else []
    return [*_result_rows(record.result), *energy, *use_rows(record.use or [])]


def _result_rows(result: Result) -> list[tuple[str, str]]:
    def text(name: str, form: str, unit: str = "", scale: float = 1) -> str:
        reason = f" ({result.reasons[name]})" if name in result.reasons else ""
        return f"{number_text(getattr(result, name), form, unit, scale)}{reason}"

    of_classes = [
        ("test accuracy", text("accuracy", ".2f", "%", 100)),
        ("before the last compression", text("accuracy_before", ".2f", "%", 100)),
        ("just after it", text("accuracy_after", ".2f", "%", 100)),
        ("validation accuracy", text("validation_accuracy", ".2f", "%", 100)),
    ]
    scales = [f"mean {mean:.6g}, standard deviation {deviation:.6g}" for mean, deviation in result.target_scale or ()]
    names = ("train", "compress", "evaluate", "compile")
    times = {name: getattr(result, f"{name}_s") for name in names}
    of_values = [("test R2", text("r2", f".{R2.digits}f")), ("target in training", "; ".join(scales))]
    return [
        *(of_values if result.is_regression else of_classes),
        *((metric.title.lower(), text(metric.name, metric.form)) for metric in METRICS if metric.is_headline),
        ("final widths", ", ".join(f"{name} {width}" for name, width in result.widths.items())),
        ("parameters", f"{result.parameters:,} of {result.parameters_dense:,}"),
        ("training FLOPs", f"{result.training_flops:,}"),
        ("inference FLOPs", f"{result.inference_flops:,} a sample"),
        ("time", ", ".join(f"{name} {taken:.2f} s" for name, taken in times.items() if taken is not None)),
    ]


def cycle_table(result: Result) -> Table:
    """A row per cycle and layer, or per cycle where nothing was compressed: accuracy, or R2, before and after the
    compression; then of one layer, with H its entropies."""
    scores = ("R2 before", "R2 after") if result.is_regression else ("before, %", "after, %")
    titles = ("cycle", "step", "loss", *scores, "group", "width", "n", "non-zero", "H in, bits", "H out, bits")
    nothing: list[Layer | None] = [None]
    score = score_of_result(result)
    rows = [_cycle_row(cycle, layer, score) for cycle in result.cycles for layer in cycle.layers or nothing]
    dropped = ("step", "non-zero", "n", "H out, bits", "H in, bits")
    return Table(texts(titles, numbers=set(titles) - {"group", "width"}, dropped=dropped), rows, "Every cycle")


def _cycle_row(cycle: Cycle, layer: Layer | None, score: Score) -> list[str]:
    before = cycle.validation_before if cycle.validation_before is not None else cycle.test_before
    after = cycle.validation_after if cycle.validation_after is not None else cycle.test_after
    scores = [number_text(value, f".{score.digits}f", scale=score.scale) for value in (before, after)]
    row = [str(cycle.cycle), str(cycle.step), f"{cycle.loss:.4f}", *scores]
    if layer is None:
        return [*row, *[ABSENT] * 6]
    widths = f"{layer.width_before}→{layer.width_after}"
    numbers = (layer.measurements, layer.nonzeros, layer.entropy_in_bits, layer.entropy_out_bits)
    return [*row, layer.group, widths, *map(_plain, numbers)]


def _plain(value: float | None) -> str:
    return number_text(value, ".3f" if isinstance(value, float) else "")
