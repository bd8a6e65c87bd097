"""The command line: verbs, exit codes, and no traceback for a user's mistake."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from suites_for_tests import DESIGN, TINY, edited
from typer.testing import CliRunner

from dtcbench import __version__, cli
from dtcbench.errors import UserError
from dtcbench.execution import ray_executor
from dtcbench.plan import shipped
from dtcbench.plan.suite import load
from dtcbench.record import CellRecord
from dtcbench.records.lookup import run_of
from dtcbench.records.sealing import seal, unsealed
from dtcbench.records.store import Store

VERBS = [
    *("doctor", "list", "suites", "fetch", "selftest", "plan", "calibrate", "run", "slurm"),
    *("status", "watch", "show", "export", "board", "claims", "report"),
    *("check", "publish", "site", "merge", "migrate", "compare", "reproduce"),
]
STUBBORN = """\
from dtcbench.errors import SolverError
from dtcbench.registry import register_solver


@register_solver("stubborn")
def stubborn(theta, y, lam):
    \"\"\"Never converges.\"\"\"
    raise SolverError("not today")
"""


def in_a_process(*arguments, cwd=None):
    """The command as a user types it, in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with tiny.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


@pytest.fixture
def in_tiny(tiny_workplace, monkeypatch):
    """The folder with the finished tiny run; only to be read."""
    monkeypatch.chdir(tiny_workplace)
    return tiny_workplace


@pytest.fixture
def copy_of_tiny(tiny_workplace, tmp_path, monkeypatch):
    """A copy of the finished tiny run, to be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(tiny_workplace, folder)
    monkeypatch.chdir(folder)
    return folder


def keys(folder):
    """Cell keys by the order of their records' names."""
    return [path.name.split(".")[0] for path in sorted((folder / "runs/tiny/records").glob("*.json"))]


# help


def test_help_lists_the_verbs_in_the_order_of_work_and_whole():
    out = CliRunner().invoke(cli.app, ["--help"]).output
    assert [line.split()[0] for line in out[out.index("Commands:") :].splitlines()[1:] if line] == VERBS
    assert "..." not in out[out.index("Commands:") :]


def test_the_module_is_the_command_and_knows_its_version(tmp_path):
    ended = in_a_process("-m", "dtcbench", "--version", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, f"dtcbench {__version__}\n")


@pytest.mark.parametrize("arguments", [["-h"], ["board", "-h"]])
def test_short_help_is_help(arguments):
    brief, full = (CliRunner().invoke(cli.app, [*arguments[:-1], option]) for option in ("-h", "--help"))
    assert (brief.exit_code, brief.output) == (0, full.output)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for_every_shell(shell, monkeypatch):
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))  # else by the parent process
    ended = CliRunner().invoke(cli.app, ["--show-completion"], prog_name="dtcbench")
    assert (ended.exit_code, "dtcbench" in ended.output) == (0, True)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_has_an_example_of_it(verb):
    ended = CliRunner().invoke(cli.app, [verb, "--help"])
    assert ended.exit_code == 0
    assert f"Example: dtcbench {verb}" in ended.output


def test_help_imports_nothing_heavy():
    heavy = "{'torch', 'ray', 'pandas', 'numpy', 'cvxpy', 'sklearn', 'scipy', 'pydantic', 'vl_convert'}"
    code = (
        "import sys; sys.argv = ['dtcbench', '--help']\n"
        "from dtcbench.cli import main\n"
        "try: main()\n"
        f"finally: print('heavy:', {heavy} & set(sys.modules))"
    )
    ended = in_a_process("-c", code)
    assert "Commands:" in ended.stdout
    assert ended.stdout.endswith("heavy: set()\n")


# a user's mistakes


MISTAKES = {
    "suite that is not there": (["plan", "no.yaml"], "no.yaml: No such file or directory; give the path"),
    "suite that is a folder": (["run", "."], ".: Is a directory; give the path of a suite's YAML file"),
    "suite that is not YAML": (["run", "brackets.yaml"], "brackets.yaml:2: not YAML: "),
    "wrong suite": (["plan", "wrong.yaml"], "wrong.yaml:9: grid[0].solvers[0]: unknown solver 'larss'"),
    "run that is not there": (
        ["status", "nowhere"],
        "nowhere holds no run (no suite.yaml); start one with `dtcbench run",
    ),
    "report of no run": (["report", "nowhere"], "nowhere holds no run"),
    "board of no run": (["board", "nowhere"], "nowhere holds no run"),
    "claims of no run": (["claims", "tiny", "nowhere"], "nowhere holds no run"),
    "claims against no table": (["claims", "tiny", "--reference", "tiny.yaml"], "--reference tiny.yaml: cannot be"),
    "run of no run's cell": (["show", "abc", "--run", "nowhere"], "nowhere holds no run"),
    "no digit of a cell": (["show", ""], "'' is not the beginning of a cell's key: give 1 to 64 of the digits"),
    "no digit of a cell to run": (["run", "tiny.yaml", "--cell", ""], "'' is not the beginning of a cell's key"),
    "text for a cell": (["show", "quick"], "'quick' is not the beginning of a cell's key"),
    "two references": (
        ["board", "tiny", "--published", "--reference", "one.csv"],
        "--published does nothing with --reference",
    ),
    "method without reference": (["board", "tiny", "--method", "dtc"], "--method does nothing without --reference"),
    "address without cluster": (["doctor", "--address", "h:1"], "--address does nothing without --cluster"),
    "shape without groups": (["list", "--input", "64"], "--input does nothing without --groups"),
    "axis with groups": (["list", "models", "--groups", "mlp"], "AXIS models does nothing with --groups"),
    "workers inline": (["run", "tiny.yaml", "--inline", "--workers", "2"], "--workers does nothing with --inline"),
    "address inline": (["run", "tiny.yaml", "--inline", "--address", "h:1"], "--address does nothing with --inline"),
    "a rehearsal's cell": (["run", "tiny.yaml", "--smoke", "--cell", "ab"], "remove --cell or --smoke"),
    "a share's cell": (["run", "tiny.yaml", "--shard", "1/2", "--cell", "ab"], "--shard does nothing with --cell"),
    "a share of nothing": (["run", "tiny.yaml", "--shard", "0/2"], "--shard 0/2: give NUMBER/COUNT, such as 1/4"),
    "more shares than blocks": (["run", "tiny.yaml", "--shard", "1/2"], "1 models, data sets and seeds, which stay"),
    "no such cell": (
        ["show", 64 * "0"],
        "0' in runs/tiny; `dtcbench plan SUITE --all` lists the keys",
    ),
    "no such cell to run": (["run", "tiny.yaml", "--cell", 64 * "0"], "0: 0 cells of the suite begin so; `dtcbench"),
    "ambiguous cell to run": (["run", "quick", "--cell", "8"], "--cell 8: 2 cells of the suite begin so"),
    "suite by its old path": (["run", "suites/quick.yaml"], "No such file or directory; did you mean 'quick'?"),
    "suite misspelt": (["plan", "quik"], "quik: No such file or directory; did you mean 'quick'?"),
    "suite to write out misspelt": (["suites", "quik"], "unknown suite 'quik'; did you mean 'quick'?"),
    "file for no suite": (["suites", "--out", "x.yaml"], "which suite? Write `dtcbench suites NAME --out x.yaml`"),
    "suite over a file": (["suites", "quick", "--out", "tiny.yaml"], "tiny.yaml: File exists; choose another file"),
    "unknown axis": (["list", "solver"], "unknown axis 'solver'; did you mean 'solvers'?"),
    "groups of no model": (["list", "--groups", "resnet"], "unknown model 'resnet'; did you mean 'resnet-"),
    "shape that is none": (["list", "--groups", "mlp", "--input", "28x"], "--input 28x: not a shape; write 3x32x32"),
    "nothing to test": (["selftest", "fitsa"], "unknown name 'fitsa'; did you mean 'fista'"),
    "unknown dataset": (["fetch", "mnits"], "unknown dataset 'mnits'; did you mean 'mnist'"),
    "plug-in that is not there": (["list", "--plugin", "no.py"], "--plugin no.py: No such file or directory; give"),
    "broken plug-in": (["plan", "tiny.yaml", "--plugin", "broken.py"], "--plugin broken.py:1: ZeroDivisionError"),
    "reference that is not there": (["board", "tiny", "--reference", "no.csv"], "--reference no.csv: cannot be read"),
    "reference that is no table": (["board", "tiny", "--reference", "tiny.yaml"], "--reference tiny.yaml: cannot be"),
    "reference without cycles": (["board", "tiny", "--reference", "widths.csv"], "has no column cycle; it has width"),
    "reference without a method": (["board", "tiny", "--reference", "one.csv"], "say whose with --method"),
    "reference with words": (
        ["board", "tiny", "--reference", "words.csv"],
        "could not convert string to float: 'good'",
    ),
    "folder that is a file": (
        ["run", "tiny.yaml", "--inline", "--out", "tiny.yaml"],
        "tiny.yaml: File exists; choose",
    ),
}


@pytest.fixture
def in_tiny_with_wrong_files(copy_of_tiny):
    files = {
        "brackets.yaml": "a: [1\nb: 2\n",
        "wrong.yaml": edited(DESIGN, ("[lars]", "[larss]")),
        "broken.py": "1 / 0\n",
        "widths.csv": "width,dtc_accuracy\n512,0.9\n",
        "one.csv": "cycle,width,accuracy\n0,512,0.9\n",
        "words.csv": "cycle,width,dtc_accuracy\n0,512,good\n",
    }
    for name, content in files.items():
        (copy_of_tiny / name).write_text(content)


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_message_and_exit_code_2(in_tiny_with_wrong_files, dtcbench, arguments, message):
    ended = dtcbench(*arguments)
    assert ended.code == 2
    assert ended.err.startswith("dtcbench: ")
    assert message in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["plan"], ["run", "tiny.yaml", "--workers", "0"], ["show", "--x"]]
)
def test_a_wrong_command_line_is_exit_code_2_and_shows_the_usage(in_tiny, dtcbench, arguments):
    ended = dtcbench(*arguments)
    assert ended.code == 2
    assert ended.err.startswith("Usage: dtcbench ")


def test_a_mistake_shows_no_traceback_in_a_process_of_its_own(here):
    ended = in_a_process("-m", "dtcbench", "plan", "no.yaml", cwd=here)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "dtcbench: no.yaml: No such file or directory; give the path of a suite's YAML file, "
        "or the name of a shipped one (`dtcbench suites` lists them)\n"
    )


def test_a_plug_in_that_takes_a_name_of_the_bench_is_to_blame_and_not_the_bench(here):
    (here / "taken.py").write_text(STUBBORN.replace('"stubborn"', '"lars"'))
    ended = in_a_process("-m", "dtcbench", "list", "--plugin", "taken.py", cwd=here)
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "dtcbench: --plugin taken.py:5: solver 'lars' is both lars (dtcbench/solvers/lars.py:"
    )


def test_all_problems_of_a_suite_are_printed_each_on_its_line(here, dtcbench):
    (here / "s.yaml").write_text(edited(DESIGN, ("[lars]", "[larss]"), ("lr: 0.001", "lr: 1e-3"), ("10m", "10")))
    lines = dtcbench("plan", "s.yaml").err.splitlines()
    assert [line.removeprefix("dtcbench: ").partition(": ")[0] for line in lines] == [
        "s.yaml:4",
        "s.yaml:9",
        "s.yaml:13",
    ]


# looking around


def test_doctor_says_what_will_be_measured(dtcbench):
    ended = dtcbench("doctor")
    assert ended.code == 0
    for line in ("dtcbench", "processor", "GPUs", "energy of GPU cells", "energy of CPU cells", "mnist"):
        assert f"\n{line} " in f"\n{ended.out}"


def test_list_shows_every_axis_or_the_one_asked_for(dtcbench):
    everything, solvers = dtcbench("list").out, dtcbench("list", "solvers").out
    assert all(name in everything for name in ("mlp", "digits", "dtc-published", "clarabel", "widths: [512]"))
    assert "lars" in solvers
    assert "max_iterations: 10000" in solvers
    assert "digits" not in solvers
    recipes = dtcbench("list", "protocols").out
    assert " ".join(recipes.split()) in " ".join(everything.split())
    assert all(option in recipes for option in ("steps: …", "warmup: 0", "precision: fp32", "stop_width: 10"))


def test_suites_lists_every_shipped_suite_with_its_cost_and_question(dtcbench):
    out = " ".join(dtcbench("suites").out.split())
    for suite in map(load, shipped.names()):
        assert f" {suite.name} {suite.cost}: {suite.question}" in out


def test_a_shipped_suite_is_planned_by_its_name_in_an_empty_folder(tmp_path, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    ended = dtcbench("plan", "quick")
    assert ended.code == 0
    assert "51 cells" in ended.out


def test_a_suite_that_was_written_out_plans_the_cells_of_the_shipped_one(tmp_path, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    assert dtcbench("suites", "quick").out.startswith("quick.yaml written; ")
    dtcbench("suites", "quick", "--out", "mine.yaml")
    assert (tmp_path / "quick.yaml").read_text() == (tmp_path / "mine.yaml").read_text() == shipped.text("quick")
    assert dtcbench("plan", "mine.yaml").out == dtcbench("plan", "quick").out


def test_fetch_tells_what_a_dataset_holds(dtcbench):
    assert dtcbench("fetch", "digits").out == "digits: 1437 training and 360 test samples of 1×8×8, checked\n"


def test_plan_runs_nothing_and_leaves_no_folder(here, dtcbench):
    ended = dtcbench("plan", "tiny.yaml")
    assert ended.code == 0
    assert "3 cells: 0 done, 0 failed, 3 missing" in ended.out
    assert "unknown until a first cell has run" in ended.out
    assert "cost, as the suite says: a second" in ended.out
    assert [path.name for path in here.iterdir()] == ["tiny.yaml"]


def test_plan_shows_what_is_done(in_tiny, dtcbench):
    ended = dtcbench("plan", "tiny.yaml")
    assert "3 cells: 3 done, 0 failed, 0 missing" in ended.out
    assert all(key[:12] in ended.out for key in keys(in_tiny))


def test_the_whole_plan_is_one_line_a_cell_and_nothing_else(in_tiny, dtcbench):
    lines = dtcbench("plan", "tiny.yaml", "--all").out.splitlines()
    assert [line.split("\t")[1] for line in lines] == ["state", "done", "done", "done"]


def test_plan_tells_cells_apart_by_their_options(here, dtcbench):
    (here / "tiny.yaml").write_text(edited(TINY, ("[dtc, magnitude]", "[dtc, {name: dtc, f: 0.2}]")))
    assert "dtc(f=0.2)" in dtcbench("plan", "tiny.yaml").out


@pytest.mark.parametrize("run", ["tiny", "runs/tiny"])
def test_a_run_is_found_by_its_name_or_its_folder(in_tiny, dtcbench, run):
    ended = dtcbench("status", run)
    assert ended.code == 0
    assert ended.out.startswith("tiny: 3 cells: 3 done, 0 failed, 0 missing\n")


def test_show_finds_a_cell_by_the_first_digits_of_its_key(in_tiny, dtcbench):
    key = keys(in_tiny)[0]
    ended = dtcbench("show", key[:8].upper())
    assert ended.code == 0
    assert key in ended.out


def newer(run: Path, key: str) -> None:
    """Make the cell's record one of a schema version that is not known yet."""
    path = run / f"records/{key}.1.json"
    path.write_bytes(seal({**json.loads(path.read_bytes())["record"], "schema_version": 99}))


def test_show_reads_no_record_of_another_cell(copy_of_tiny, dtcbench, monkeypatch):
    shown, damaged, other = keys(copy_of_tiny)
    newer(copy_of_tiny / "runs/tiny", other)
    (copy_of_tiny / f"runs/tiny/records/{damaged}.1.json").write_text("{")
    read, whole = [], Store._record
    monkeypatch.setattr(Store, "_record", lambda store, name, kind: read.append(name) or whole(store, name, kind))
    ended = dtcbench("show", shown)
    assert (ended.code, set(read)) == (0, {f"{shown}.1.json"})
    assert damaged not in ended.out and other not in ended.out


def test_show_says_which_of_the_cell_s_records_cannot_be_read_beside_those_that_can(copy_of_tiny, dtcbench):
    key = keys(copy_of_tiny)[0]
    record = copy_of_tiny / f"runs/tiny/records/{key}.1.json"
    second = {**json.loads(record.read_bytes())["record"], "attempt": 2}
    newer(copy_of_tiny / "runs/tiny", key)
    assert "not a record of this version" in dtcbench("show", key).err
    (copy_of_tiny / f"runs/tiny/records/{key}.2.json").write_bytes(seal(second))
    ended = dtcbench("show", key)
    assert ended.code == 0
    assert "attempt 2: ok" in ended.out
    assert f"runs/tiny/records/{key}.1.json: not shown: not a record of this version of dtcbench" in ended.out


def test_show_skips_what_is_half_gone_under_runs_and_says_so(copy_of_tiny, dtcbench):
    key = keys(copy_of_tiny)[0]
    shutil.copytree("runs/tiny", "runs/half")
    Path("runs/half/suite.yaml").unlink()
    ended = dtcbench("show", key)
    assert ended.code == 0
    assert "runs/half: skipped: it has records, but no suite.yaml\n" in ended.out


def test_show_skips_a_run_that_cannot_be_listed_and_says_so(copy_of_tiny, dtcbench, monkeypatch):
    key = keys(copy_of_tiny)[0]
    shutil.copytree("runs/tiny", "runs/shut")
    files = Store.files

    def shut(store):
        if store.root.name == "shut":
            raise PermissionError(13, "Permission denied")
        return files(store)

    monkeypatch.setattr(Store, "files", shut)
    ended = dtcbench("show", key)
    assert ended.code == 0
    assert "runs/shut: skipped: Permission denied\n" in ended.out


@pytest.mark.parametrize("verb", ["claims", "site", "merge"])
def test_the_usage_of_a_verb_of_several_runs_has_its_dots_once(verb, dtcbench):
    assert "{RUN}...\n" in dtcbench(verb, "--help").out


def test_doctor_states_one_default_address(dtcbench):
    told = " ".join(dtcbench("doctor", "--help").out.split())
    assert "The cluster, for --cluster [default: auto]." in told
    assert told.count("default") == 1


def test_show_asks_for_the_run_where_two_hold_the_cell(copy_of_tiny, dtcbench):
    shutil.copytree("runs/tiny", "runs/again")
    key = keys(copy_of_tiny)[0]
    ended = dtcbench("show", key)
    assert ended.code == 2
    assert ended.err.endswith(f"--run:\n  {key[:12]} in runs/again\n  {key[:12]} in runs/tiny\n")
    assert dtcbench("show", key, "--run", "again").code == 0


def test_board_prints_the_leaderboard(in_tiny, dtcbench):
    ended = dtcbench("board", "tiny")
    assert ended.code == 0
    assert "Does it run?" in ended.out
    assert "3 of 3 planned cells are ok" in ended.out


def test_board_puts_published_figures_beside_ours(copy_of_tiny, dtcbench):
    (copy_of_tiny / "ref.csv").write_text("cycle,width,accuracy\n0,14,0.5\n1,12,0.5\n")
    ended = dtcbench("board", "tiny", "--reference", "ref.csv", "--method", "magnitude")
    assert ended.code == 0
    assert "magnitude, seed 0" in ended.out
    assert "0 of 5 cycles equal to the last bit" in ended.out


def test_board_puts_the_papers_own_figures_beside_ours(in_tiny, dtcbench):
    ended = dtcbench("board", "tiny", "--published")
    assert ended.code == 0
    assert "dtc-published: this run has no finished cell of it" in ended.out


OWN_CLAIM = """\
id: mine
title: Mine
statement: DTC keeps more accuracy than random removal.
sources: [{work: a note, version: "1", quotation: it keeps more}]
estimand: {of: [dtc], minus: [magnitude]}
null: It does not.
test: everywhere
family: mine
smallest_effect: {points: 1}
"""


def test_claims_gives_each_claim_a_verdict_and_a_reason(in_tiny, dtcbench):
    ended = dtcbench("claims", "tiny", "--full")
    assert ended.code == 0
    number = len(shipped.names("claim"))
    assert ended.out.count("\nRule: ") == ended.out.count("\nnot measured: ") == number
    assert "3a-choice-against-magnitude: On average" in ended.out
    assert "no cell that counts: suites claims" in ended.out


def test_claims_of_ones_own_are_judged_and_drawn_for_paper(copy_of_tiny, dtcbench):
    Path("mine.yaml").write_text(OWN_CLAIM)
    ended = dtcbench("claims", "tiny", "--claims", "mine.yaml", "--figures", "drawn")
    assert "mine: undecided: difference in accuracy: " in ended.out
    names = sorted(path.name for path in Path("drawn").iterdir())
    assert names == ["claim-mine.pdf", "claim-mine.svg"]
    assert all(f"  drawn/{name}" in ended.out for name in names)
    assert Path("drawn", names[0]).read_bytes().startswith(b"%PDF")


def test_rules_are_sealed_before_the_first_cell_and_a_change_is_said(tmp_path, dtcbench, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    Path("mine.yaml").write_text(OWN_CLAIM)
    sealed = dtcbench("plan", "tiny.yaml", "--seal", "--claims", "mine.yaml")
    assert (sealed.code, "1 claim, rule fixed as " in sealed.out) == (0, True)
    assert dtcbench("run", "tiny.yaml", "--inline").code == 0
    judged = dtcbench("claims", "tiny", "--claims", "mine.yaml").out
    assert re.search(
        r"tiny: rule fixed as [0-9a-f]{12} on \d{4}-\d\d-\d\d, before the first cell\s*$", judged, re.MULTILINE
    )
    Path("mine.yaml").write_text(OWN_CLAIM.replace("points: 1", "points: 2"))
    assert "before the first cell; changed since: claim mine" in dtcbench("claims", "tiny", "--claims", "mine.yaml").out
    refused = dtcbench("plan", "tiny.yaml", "--seal", "--claims", "mine.yaml")
    assert (refused.code, "changed since: claim mine. Bring those back" in refused.err) == (2, True)
    judged = dtcbench("claims", "tiny").out  # without --claims: what was sealed, and none of the package's
    assert judged.startswith("mine: undecided") and "1-reproduction" not in judged and "changed" not in judged
    assert "not sealed: claim 5-entropy" in dtcbench("claims", "tiny", "--claims", "5-entropy").out
    assert dtcbench("site", "tiny").code == 0
    assert "DTC keeps more accuracy than random removal." in Path("site", "claims.html").read_text()


def test_a_claim_that_says_nothing_of_the_suite_is_named_where_it_is_sealed(tmp_path, dtcbench, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    Path("mine.yaml").write_text(OWN_CLAIM.replace("magnitude", "magnitud"))
    sealed = dtcbench("plan", "tiny.yaml", "--seal", "--claims", "mine.yaml").out
    assert "note: suite tiny says nothing of claim mine: no magnitud at the place of a cell of dtc" in sealed


def test_a_claim_on_use_that_the_suite_does_not_measure_is_named_where_it_is_sealed(tmp_path, dtcbench, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(shipped.text("2b-energy-of-use", "claim").replace("[claims, energy]", "[tiny]"))
    for sizes, is_said in (("[1]", True), ("[1, 1024]", False)):
        Path("tiny.yaml").write_text(f"{TINY}resources: {{cpus: 1, gpus: 1}}\nuse: {{batch_sizes: {sizes}}}\n")
        sealed = dtcbench("plan", "tiny.yaml", "--seal", "--claims", "mine.yaml", "--out", f"runs/{len(sizes)}").out
        assert ("add 1024 to the batch_sizes of its `use`" in sealed) == is_said


def test_a_mistake_in_a_claim_is_named_with_its_line(copy_of_tiny, dtcbench):
    Path("mine.yaml").write_text(OWN_CLAIM.replace("test: everywhere", "test: somewhere"))
    ended = dtcbench("claims", "tiny", "--claims", "mine.yaml")
    assert (ended.code, "mine.yaml:7: test: 'somewhere'" in ended.err) == (2, True)


def test_list_shows_the_claims_of_the_package_with_their_sources(dtcbench):
    ended = dtcbench("list", "claims")
    assert all(name in ended.out for name in shipped.names("claim"))
    assert "reaching almost ~98% reduction in energy use" in " ".join(ended.out.split())


def test_claims_pools_runs_by_their_cells_and_points_out_a_conflict(copy_of_tiny, dtcbench):
    alone = dtcbench("claims", "tiny").out
    shutil.copytree("runs/tiny", "runs/again")
    assert dtcbench("claims", "tiny", "again").out == alone
    record = next(path for path in (copy_of_tiny / "runs/again/records").glob("*.json"))
    key = record.name.split(".")[0]
    changed = unsealed(record.read_bytes(), CellRecord).model_dump(mode="json")
    changed["result"]["accuracy"] = 0.123
    record.write_bytes(seal(changed))
    ended = dtcbench("claims", "tiny", "again")
    assert f"Other accuracies in a later run, which do not count: {key[:12]}" in ended.out


# running


POOL = "standard-cycle-steps-5-steps-30-digits-mlp-widths-16"
DERIVED = [
    "tables/cells.parquet",
    "tables/cycles.parquet",
    *(f"leaderboard.{end}" for end in ("csv", "md", "tex", "html")),
    *(f"figures/{POOL}-{name}.{form}" for name in ("accuracy-by-sparsity", "over-cycles") for form in ("pdf", "svg")),
]


def test_a_second_run_runs_nothing_and_writes_the_same_files(copy_of_tiny, dtcbench):
    run = copy_of_tiny / "runs/tiny"
    before = {name: (run / name).read_bytes() for name in DERIVED}
    records = keys(copy_of_tiny)
    ended = dtcbench("run", "tiny.yaml", "--inline")
    assert ended.code == 0
    assert ended.out.startswith("tiny: 3 cells, 0 to run\n")
    assert keys(copy_of_tiny) == records
    assert {name: (run / name).read_bytes() for name in DERIVED} == before


def test_report_rebuilds_every_derived_file_to_the_byte(copy_of_tiny, dtcbench):
    run = copy_of_tiny / "runs/tiny"
    before = {name: (run / name).read_bytes() for name in DERIVED}
    for name in DERIVED:
        (run / name).unlink()
    ended = dtcbench("report", "tiny")
    assert ended.code == 0
    assert {name: (run / name).read_bytes() for name in DERIVED} == before
    assert all(f"  runs/tiny/{name}\n" in ended.out for name in [*DERIVED[:6], "figures"])


@pytest.mark.usefixtures("sketched")
def test_a_suite_that_grew_runs_only_what_is_new(copy_of_tiny, dtcbench):
    (copy_of_tiny / "tiny.yaml").write_text(edited(TINY, ("magnitude]", "magnitude, random]")))
    ended = dtcbench("run", "tiny.yaml", "--inline")
    assert ended.code == 0
    assert "tiny: 4 cells, 1 to run\n" in ended.out
    assert "[1/1] random mlp(widths=[16]) digits 0.5 seed 0: ok" in ended.out


@pytest.mark.usefixtures("sketched")
def test_one_cell_alone_can_be_run_and_its_own_end_is_the_exit_code(copy_of_tiny, dtcbench):
    missing, other, _ = sorted((copy_of_tiny / "runs/tiny/records").glob("*.json"))
    missing.unlink()
    other.unlink()
    key = missing.name.split(".")[0]
    ended = dtcbench("run", "tiny.yaml", "--inline", "--cell", key[:10])
    assert ended.code == 0
    assert "tiny: 1 cells, 1 to run\n" in ended.out
    assert missing.exists()
    assert not other.exists()
    assert dtcbench("status", "tiny").code == 1  # the other one still is missing


@pytest.mark.usefixtures("sketched")
def test_what_another_run_of_the_suite_finished_meanwhile_is_not_run_again(here, sketched, dtcbench, monkeypatch):
    from dtcbench.execution import suite_run

    starting = suite_run._executor

    def slow_start(*arguments, **how):
        with monkeypatch.context() as patch:
            patch.setattr(suite_run, "_executor", starting)
            assert dtcbench("run", "tiny.yaml", "--inline").code == 0
        return starting(*arguments, **how)

    monkeypatch.setattr(suite_run, "_executor", slow_start)
    ended = dtcbench("run", "tiny.yaml", "--inline")
    assert (ended.code, "3 cells, 0 to run" in ended.out) == (0, True)


def test_a_damaged_record_is_named_and_its_cell_redone(copy_of_tiny, dtcbench):
    record = next((copy_of_tiny / "runs/tiny/records").glob("*.json"))
    record.write_bytes(record.read_bytes()[:-40])
    status = dtcbench("status", "tiny")
    assert status.code == 1
    assert f"damaged record: runs/tiny/records/{record.name}: truncated" in status.out
    ended = dtcbench("run", "tiny.yaml", "--inline")
    assert ended.code == 0
    assert f"damaged record: runs/tiny/records/{record.name}: truncated" in ended.out
    assert "tiny: 3 cells, 1 to run\n" in ended.out
    assert dtcbench("status", "tiny").code == 0


@pytest.mark.usefixtures("sketched")
def test_a_failed_cell_is_exit_code_1_named_with_its_reason_and_tried_again_only_if_asked(copy_of_tiny, dtcbench):
    (copy_of_tiny / "tiny.yaml").write_text(edited(TINY, ("[lars]", "[stubborn]")))
    (copy_of_tiny / "stubborn.py").write_text(STUBBORN)
    run = ["run", "tiny.yaml", "--inline", "--plugin", "stubborn.py"]
    ended = dtcbench(*run)
    assert ended.code == 1
    assert "dtc/stubborn mlp(widths=[16]) digits 0.5 seed 0: error" in ended.out
    status = dtcbench("status", "tiny")
    assert status.code == 1
    assert "not today" in " ".join(status.out.split())
    assert "3 cells: 2 done, 1 failed, 0 missing" in status.out
    assert "failed: error" in dtcbench("plan", "tiny.yaml", "--plugin", "stubborn.py").out
    again, retried = dtcbench(*run), dtcbench(*run, "--retry-failed")
    assert (again.code, retried.code) == (1, 1)
    assert "3 cells, 0 to run" in again.out
    assert "3 cells, 1 to run" in retried.out
    assert dtcbench("report", "tiny").code == 0
    assert dtcbench("board", "tiny").code == 0


@pytest.mark.usefixtures("sketched")
def test_the_folder_of_a_run_can_be_chosen(copy_of_tiny, dtcbench):
    shutil.move("runs/tiny", "elsewhere")
    ended = dtcbench("run", "tiny.yaml", "--inline", "--out", "elsewhere")
    assert ended.code == 0
    assert "0 to run" in ended.out
    assert not (copy_of_tiny / "runs/tiny").exists()
    assert dtcbench("status", "elsewhere").code == 0


def test_ctrl_c_is_exit_code_130_and_says_how_to_go_on(in_tiny, dtcbench, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dtcbench.records.contributions.read", interrupted)
    ended = dtcbench("board", "tiny")
    assert ended.code == 130
    assert ended.err == "dtcbench: stopped; the same command resumes\n"


# rehearsals and self-tests


def files_of(folder):
    """Every file below a folder, and what it holds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


REFUSED = ("run", "tiny.yaml", "--address", "127.0.0.1:1")


@pytest.mark.parametrize("where", ["runs/tiny", "out", "memory://refused/tiny"])
def test_a_new_run_that_is_refused_leaves_no_folder(here, dtcbench, where):
    before = files_of(here)
    ended = dtcbench(*REFUSED, "--out", where)
    assert ended.code == 2
    assert "nothing answers there" in ended.err
    assert not run_of("tiny", where).root.exists()
    assert not (here / "runs").exists()
    assert files_of(here) == before


@pytest.mark.parametrize("problem", ["nothing answers there", "the nodes disagree", "no node has them"])
def test_a_run_that_is_refused_when_it_is_resumed_is_as_it_was(copy_of_tiny, dtcbench, monkeypatch, problem):
    def refuse(*arguments, **options):
        raise UserError(problem)

    monkeypatch.setattr(ray_executor, "RayExecutor", refuse)
    first, second, _ = sorted((copy_of_tiny / "runs/tiny/records").glob("*.json"))
    first.unlink()
    second.write_bytes(b"{")
    (copy_of_tiny / "tiny.yaml").write_text(edited(TINY, ("magnitude]", "magnitude, random]")))
    before = files_of(copy_of_tiny)
    ended = dtcbench(*REFUSED)
    assert (ended.code, ended.out, ended.err) == (2, "", f"dtcbench: {problem}\n")
    assert files_of(copy_of_tiny) == before


def test_another_suite_of_a_run_s_name_is_refused_with_what_differs_and_another_folder_takes_it(copy_of_tiny, dtcbench):
    (copy_of_tiny / "tiny.yaml").write_text(edited(TINY, ("steps: 30", "steps: 40"), ("[16]", "[8]")))
    before = files_of(copy_of_tiny)
    for command in (["plan", "tiny.yaml"], ["run", "tiny.yaml", "--inline"]):
        ended = dtcbench(*command)
        assert ended.code == 2
        assert "its 3 cells are of another suite of this name: protocol.steps 30 there, 40 here; models " in ended.err
        assert ended.err.endswith("; choose another folder with --out, or give the suite another name\n")
    assert files_of(copy_of_tiny) == before
    assert dtcbench("plan", "tiny.yaml", "--out", "new").code == 0


@pytest.mark.usefixtures("sketched")
def test_a_run_may_lie_in_an_object_store(here, dtcbench):
    run = "memory://results-of-a-test/tiny"
    ended = dtcbench("run", "tiny.yaml", "--inline", "--out", run)
    assert ended.code == 0, ended.err
    assert f"{run}/leaderboard.md" in ended.out
    assert "0 to run" in dtcbench("run", "tiny.yaml", "--inline", "--out", run).out
    assert "nothing left to run" in dtcbench("status", run).out
    assert not (here / "runs/tiny/records").exists()


@pytest.mark.usefixtures("sketched")
def test_a_rehearsal_is_a_run_of_its_own(copy_of_tiny, dtcbench):
    ended = dtcbench("run", "tiny.yaml", "--smoke", "--inline")
    assert ended.code == 0, ended.out
    assert "tiny-smoke: 3 cells, 3 to run" in ended.out
    assert len(list((copy_of_tiny / "runs/tiny-smoke/records").glob("*.json"))) == 3
    assert dtcbench("status", "runs/tiny-smoke").code == 0
    assert "tiny-smoke: 3 cells, 0 to run" in dtcbench("run", "tiny.yaml", "--smoke", "--inline").out


def test_groups_of_a_model_are_listed_with_their_shapes(dtcbench):
    ended = dtcbench("list", "--groups", "lenet-300-100", "--input", "1x28x28")
    assert ended.code == 0
    assert "lenet-300-100 on 1×28×28" in ended.out
    assert "300×784" in ended.out


def test_selftest_tells_each_claim_and_what_is_waived(dtcbench):
    ended = dtcbench("selftest", "dense", "digits")
    assert ended.code == 0
    assert "ok      dataset digits: " in ended.out
    assert "waived  method dense: exactly the count asked for" in ended.out
    assert "it removes nothing" in ended.out


def test_a_plug_in_that_contradicts_a_claim_fails_its_selftest(tmp_path, dtcbench):
    plugin = tmp_path / "halved.py"
    plugin.write_text(
        "import numpy as np\n"
        "from dtcbench.registry import register_solver\n"
        "@register_solver('halved')\n"
        "def halved(theta, y, lam):\n"
        "    '''Half the least-squares answer.'''\n"
        "    return np.linalg.lstsq(theta, y, rcond=None)[0] / 2\n"
    )
    ended = dtcbench("selftest", "--plugin", plugin)
    assert ended.code == 1
    assert "NOT SO  solver halved: the objective is the smallest there is" in ended.out
    assert "failed" in ended.out


def test_an_error_that_ends_every_check_of_a_value_is_reported_once(tmp_path, dtcbench):
    plugin = tmp_path / "absent.py"
    plugin.write_text(
        "from dtcbench.registry import register_dataset\n"
        "@register_dataset('absent')\n"
        "def absent():\n"
        "    raise OSError('no such disk')\n"
    )
    ended = dtcbench("selftest", "--plugin", plugin)
    assert (ended.code, ended.out.count("NOT SO"), ended.out.count("OSError: no such disk")) == (1, 1, 1)
    assert ended.out.endswith("1 check failed\n")
    fetched = dtcbench("fetch", "absent", "--plugin", plugin)
    assert (fetched.code, fetched.err) == (2, "dtcbench: data set absent: OSError: no such disk\n")


def test_a_plug_in_that_registers_nothing_is_told_so(tmp_path, dtcbench):
    (tmp_path / "empty.py").write_text("x = 1\n")
    ended = dtcbench("selftest", "--plugin", tmp_path / "empty.py")
    assert ended.code == 2
    assert "registers nothing; decorate" in ended.err


@pytest.mark.parametrize(("columns", "widest"), [("60", 60), ("90", 90)])
def test_a_pipe_obeys_columns(tiny_workplace, dtcbench, monkeypatch, columns, widest):
    monkeypatch.chdir(tiny_workplace)
    monkeypatch.setenv("COLUMNS", columns)
    lines = dtcbench("board", "tiny").out.splitlines()
    assert max(map(len, lines)) == widest


@pytest.mark.parametrize("columns", [None, "", "0", "wide"])
def test_a_pipe_without_columns_is_wide(tiny_workplace, dtcbench, monkeypatch, columns):
    monkeypatch.chdir(tiny_workplace)
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, dtcbench("board", "tiny").out.splitlines())) > 100


def test_claims_are_brief_unless_all_is_asked_for(tiny_workplace, dtcbench, monkeypatch):
    monkeypatch.chdir(tiny_workplace)
    brief, full = dtcbench("claims", "tiny").out, dtcbench("claims", "tiny", "--full").out
    assert len(brief.splitlines()) <= 3 * len(shipped.names("claim")) + 3
    assert "Rule: " in full and "Rule: " not in brief
