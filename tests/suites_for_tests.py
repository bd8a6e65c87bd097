"""Suites as text, and a suite's mistakes as short tuples."""

from __future__ import annotations

from dtcbench.plan.suite import SuiteError, parse

DESIGN = """\
name: quick
question: Does DTC keep more accuracy than random removal on a small network?
cost: two minutes on two cores
protocol: {name: standard, steps: 600, batch_size: 64, lr: 0.001, cycle_steps: 50, keep: 0.9}
grid:
  - models: [{name: mlp, widths: [256]}]
    datasets: [digits]
    methods: [dtc, dtc-published, magnitude, random]
    solvers: [lars]
    sparsities: [0.5, 0.8, 0.9, 0.95]
    seeds: 3
resources: {cpus: 1, gpus: 0}
timeout: 10m
"""
"""The example of the design notes."""

TINY = """\
name: tiny
question: Does it run?
cost: a second
protocol: {name: standard, steps: 30, cycle_steps: 5}
grid:
  - models: [{name: mlp, widths: [16]}]
    datasets: [digits]
    methods: [dtc, magnitude]
    solvers: [lars]
    sparsities: [0.5]
    seeds: 1
"""
"""Three cells of a fraction of a second."""


def edited(text: str, *edits: tuple[str, str]) -> str:
    """`text` with every (old, new) replaced; an old that is not there is a mistake of the test."""
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


def mistakes(text: str) -> list[tuple[int, str, str]]:
    """(line, place, message) of everything wrong with a suite's text; none for a valid one."""
    try:
        parse(text, "suite.yaml")
    except SuiteError as error:
        assert all(mistake.file == "suite.yaml" for mistake in error.mistakes)
        return [(mistake.line, mistake.place, mistake.message) for mistake in error.mistakes]
    return []
