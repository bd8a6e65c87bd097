"""The examples of docs/plugins.md are complete plug-ins: each passes `selftest` and runs in a suite."""

import re
from pathlib import Path

import pytest

from dtcbench import Run

PAGE = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")
EXAMPLES = {
    re.search(r"@register_\w+\(\"(.+?)\"\)", code)[1]: code
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
}
SUITE = """\
name: examples
question: Do the examples run?
cost: seconds
protocol:
  - {name: standard, steps: 20, batch_size: 32, cycle_steps: 5, keep: 0.7}
  - {name: warm-restarts, steps: 20, batch_size: 32, cycle_steps: 5, keep: 0.7, restarts: 1}
grid:
  - models: [bottleneck]
    datasets: [squares]
    methods: [variance, dtc]
    solvers: [highs]
    sparsities: [0.5]
    seeds: 1
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, code in EXAMPLES.items():
        (tmp_path / f"{name}.py").write_text(code)
    return [argument for name in EXAMPLES for argument in ("--plugin", f"{name}.py")]


def test_there_is_one_example_for_each_axis_in_under_25_lines():
    axes = [re.search(r"@register_(\w+)\(", code)[1] for code in EXAMPLES.values()]
    assert sorted(axes) == ["dataset", "method", "model", "protocol", "solver"]
    assert all(len(code.splitlines()) < 25 for code in EXAMPLES.values())


def test_every_example_does_what_is_asked_of_its_axis(files, dtcbench):
    tried = dtcbench("selftest", *files)
    assert tried.code == 0, tried.out
    assert all(f" {name}:" in tried.out for name in EXAMPLES)


@pytest.mark.usefixtures("sketched")
def test_the_examples_run_together_in_a_suite(files, tmp_path, dtcbench):
    (tmp_path / "suite.yaml").write_text(SUITE)
    ran = dtcbench("run", "suite.yaml", "--inline", *files)
    assert ran.code == 0, ran.out
    assert "6 of 6 planned cells are ok" in " ".join(ran.out.split())
    run = Run("runs/examples")
    assert run.leaderboard().rows["protocol"].nunique() == 2
    uses = run.cells["stack"].str.contains("plug-in warm-restarts ")
    assert list(uses) == list(run.cells["protocol"].str.startswith("warm-restarts("))
    assert uses.sum() == 3
