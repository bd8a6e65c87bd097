"""A run in a notebook: DataFrames of its records, alone or pooled, and what the command line shows of them."""

import doctest
import linecache
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from cells import task
from rack import WITHOUT_TOKEN
from suites_for_tests import TINY

import dtcbench as package
from dtcbench import registry, running
from dtcbench.analysis.reproduction import read_reference
from dtcbench.errors import UserError
from dtcbench.execution.ray_executor import RayExecutor
from dtcbench.execution.suite_run import read_suite, rehearsed
from dtcbench.execution.watcher import Watcher
from dtcbench.plan import shipped
from dtcbench.plan.request import Request
from dtcbench.record import Status
from dtcbench.records import run as run_module
from dtcbench.records import tables
from dtcbench.records.lookup import plan_of, run_named
from dtcbench.records.store import Store

REQUIRED = "resources: {cpus: 1, gpus: 1}\nenergy: {required: true}\n"


@pytest.fixture
def run(tiny_workplace, monkeypatch):
    monkeypatch.chdir(tiny_workplace)
    return package.Run("tiny")


@pytest.fixture
def failed(run, tmp_path):
    """A run of the same suite in which one cell has failed and the others are missing."""
    folder = tmp_path / "failed"
    folder.mkdir()
    for name in ("suite.yaml", "names.json"):
        shutil.copy(run_named("tiny").root / name, folder / name)
    store = Store(folder)
    cell = plan_of(store).cells[1]
    with store.locked() as writer:
        record = task(cell).record(Status.OOM, "no memory", "2025-01-01T00:00:00.000+00:00", 1.0)
        writer.append(record)
    return package.Run(folder)


def test_its_tables_are_those_that_the_command_line_writes(run, tiny_workplace):
    for name in ("cells", "cycles"):
        written = pd.read_parquet(tiny_workplace / f"runs/tiny/tables/{name}.parquet")
        expected = tables.typed(written) if name == "cells" else written  # a file has no type for gaps alone
        found = tables.filed(run.cells) if name == "cells" else run.cycles
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert run.power.empty and list(run.power.columns[:1]) == ["key"]


def test_its_leaderboard_is_the_one_that_is_written(run, tiny_workplace):
    written = pd.read_csv(tiny_workplace / "runs/tiny/leaderboard.csv")
    assert run.leaderboard().rows["accuracy_mean"].tolist() == pytest.approx(written["accuracy_mean"].tolist())
    assert run.leaderboard().suite == "tiny"


def test_every_claim_has_a_verdict(run):
    assert [found.id for found in run.claims()] == shipped.names("claim")
    assert [found.id for found in run.claims(claims=["8a-acceleration-steps"])] == ["8a-acceleration-steps"]


def test_its_records_are_the_cells(run):
    assert {record.key: record.result.accuracy for record in run.records()} == dict(
        zip(run.cells["key"], run.cells["accuracy"], strict=True)
    )


def test_of_a_pool_each_cell_counts_once_and_an_ok_one_wherever_it_stands(run, failed):
    assert failed.status() == {"missing": 2, "oom": 1}
    assert [record.status for record in failed.records()] == [Status.OOM]
    for runs in ([run, failed], [failed, run], [run, run]):
        pooled = package.Run.pool(runs)
        assert pooled.status() == {"ok": 3}
        assert pooled.cells.equals(package.Run.pool([run]).cells)
        assert sorted(record.key for record in pooled.records()) == sorted(run.cells["key"])


def test_what_cannot_be_read_is_said_in_one_line(run):
    with pytest.raises(UserError, match="holds no run"):
        package.Run("nothing-here")
    with pytest.raises(UserError, match="at least one"):
        package.Run.pool([])


def test_the_examples_in_its_documentation_run(tiny_workplace, tmp_path, monkeypatch):
    shutil.copytree(tiny_workplace, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    outcomes = [doctest.testmod(module) for module in (running, run_module)]
    assert sum(outcome.attempted for outcome in outcomes) >= 6
    assert not any(outcome.failed for outcome in outcomes)


def test_the_package_names_what_it_offers_and_loads_it_when_it_is_asked_for():
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match=r"no attribute 'Rum'; it has Compressor, Run"):
        package.Rum  # noqa: B018
    code = "import sys, dtcbench; print({'torch', 'pandas', 'ray'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_a_run_is_read_where_it_was_found_also_after_a_change_of_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run.status() == {"ok": 3}
    assert len(list(run.records())) == 3


def test_a_run_whose_folder_is_gone_is_an_error_and_not_a_run_without_records(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "copy")
    copy = package.Run(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")
    with pytest.raises(UserError, match="copy holds no run"):
        copy.status()
    with pytest.raises(UserError, match="copy holds no run"):
        package.Run.pool([run, copy]).status()


def test_a_change_to_what_it_gives_changes_nothing_in_it(run):
    for changed in (run.cells, run.cycles, run.power, run.leaderboard().rows):
        changed["status"] = "gone"
        for column in changed.columns[1:]:
            del changed[column]
    assert run.status() == {"ok": 3}
    assert {"accuracy", "status"} <= set(run.cells.columns)
    assert "group" in run.cycles and "t_s" in run.power and "ok" in run.leaderboard().rows
    assert run.claims()[0].id == "1-reproduction"


def test_each_row_of_a_pool_has_the_suite_that_its_cell_was_run_for(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "other")
    suite = tmp_path / "other/suite.yaml"
    suite.write_text(suite.read_text().replace("name: tiny", "name: other").replace("seeds: 1", "seeds: 2"))
    pooled = package.Run.pool([run, tmp_path / "other"])
    assert pooled.suite == "tiny, other"
    assert pooled.cells["suite"].tolist() == ["tiny"] * 3 + ["other"] * 3
    assert pooled.cells["suite"].dtype == run.cells["suite"].dtype


def test_numbers_that_no_cell_has_are_numbers_all_the_same(run, failed):
    for shown in (run, failed, package.Run.pool([run, failed])):
        numbers = shown.cells[["accuracy", "steps", "energy_j", "net_energy_j", "attempt"]]
        assert {str(kind) for kind in numbers.dtypes} <= {"float64", "int64"}


def test_published_accuracies_are_taken_from_a_file_or_a_table_and_checked(run, tmp_path):
    path = tmp_path / "published.csv"
    path.write_text("cycle,width,dtc_accuracy\n0,100,0.9\n")
    for reference in (path, str(path), pd.read_csv(path), read_reference(path)):
        assert run.claims(reference)[0].reason.startswith("no cell that counts: protocols published")
    with pytest.raises(UserError, match="has no column cycle, width; it has a"):
        run.claims(pd.DataFrame({"a": [1]}))
    with pytest.raises(UserError, match=r"nothing\.csv: cannot be read"):
        run.claims("nothing.csv")


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (None, "None is not a folder"),
        (7, "7 is not a folder"),
        ("results/tiny", r"holds no run itself \(no suite.yaml\); name one in it: results/tiny/cpu$"),
    ],
)
def test_what_is_no_run_is_said_with_what_to_name(run, tmp_path, monkeypatch, folder, message):
    shutil.copytree(run.folder, tmp_path / "results/tiny/cpu")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        package.Run(folder)


def test_a_pool_takes_folders_too_but_only_a_list(run):
    assert package.Run.pool(["tiny", run]).status() == {"ok": 3}
    for one in (run, "tiny"):
        with pytest.raises(UserError, match="a pool takes a list of runs"):
            package.Run.pool(one)


def test_the_home_folder_may_be_abbreviated(run, monkeypatch):
    monkeypatch.setenv("HOME", str(run.folder.absolute().parent))
    assert package.Run("~/tiny").status() == {"ok": 3}


# running a suite


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_a_thread(call, *arguments, **options):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, *arguments, **options).result()


class Diary(Watcher):
    """Writes the events down; raises KeyboardInterrupt after so many cells."""

    def __init__(self, stops_after=None):
        self.events, self.notes, self._stops_after = [], [], stops_after

    def noted(self, note):
        self.notes.append(note)

    def planned(self, suite, cells, to_run):
        self.events.append((suite, cells, to_run))

    def ended(self, record, final):
        self.events.append(record.status)
        if len(self.events) - 1 == self._stops_after:
            raise KeyboardInterrupt

    def written(self, files):
        self.events.append(sorted(str(file) for file in files)[-1])


def test_a_suite_runs_in_a_thread_and_the_same_call_resumes(here, tiny_workplace):
    diary = Diary()
    done = in_a_thread(package.run, TINY, inline=True, progress=diary)
    assert done.status() == {"ok": 3}
    assert diary.events == [("tiny", 3, 3), *["ok"] * 3, "runs/tiny/tables/cycles.parquet"]
    assert (here / "runs/tiny/leaderboard.md").is_file()
    by_command = package.Run(str(tiny_workplace / "runs/tiny"))
    assert done.cells["accuracy"].equals(by_command.cells["accuracy"])
    again = Diary()
    assert package.run(TINY, inline=True, progress=again).cells.equals(done.cells)
    assert again.events[0] == ("tiny", 3, 0)
    pd.testing.assert_frame_equal(package.Run("tiny").leaderboard().rows, done.leaderboard().rows)


@pytest.mark.ray
def test_a_suite_runs_over_ray_in_a_thread_and_leaves_the_callers_output_alone(here, capfd):
    before = sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    done = in_a_thread(package.run, yaml.safe_load(TINY), workers=1, progress=False)
    assert done.status() == {"ok": 3}
    assert (sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert capfd.readouterr().out == ""


def test_a_run_that_is_stopped_keeps_what_has_ended_and_the_same_call_does_the_rest(here):
    with pytest.raises(KeyboardInterrupt):
        in_a_thread(package.run, TINY, inline=True, progress=Diary(stops_after=1))
    stopped = package.Run("tiny").status()
    assert stopped["ok"] == 1
    assert package.run(TINY, inline=True, progress=False).status() == {"ok": 3}


def test_one_cell_may_be_run_alone_and_a_rehearsal_is_a_run_of_its_own(here):
    (here / "tiny.yaml").write_text(TINY)
    rehearsed = package.run(here / "tiny.yaml", inline=True, smoke=True, progress=False)
    assert (rehearsed.status(), repr(rehearsed)) == ({"ok": 3}, "Run(runs/tiny-smoke)")
    alone = package.run("tiny.yaml", here / "alone", inline=True, cell=str(_a_key(here)), progress=False)
    assert alone.status() == {"missing": 2, "ok": 1}


def test_a_suite_that_requires_joules_is_rehearsed_on_a_machine_without_a_gpu_and_says_so(here, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    diary = Diary()
    rehearsed = package.run(f"{TINY}\n{REQUIRED}", inline=True, smoke=True, progress=diary)
    assert diary.notes == ["torch sees no GPU on this machine: tiny is rehearsed on the CPU, without joules"]
    assert rehearsed.status() == {"ok": 3}
    assert set(rehearsed.cells["energy_reason"]) == {"the cell ran on the CPU"}


def test_a_rehearsal_on_a_gpu_without_a_meter_goes_on_there_and_says_why_it_has_no_joules(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("dtcbench.execution.suite_run.has_gpu", lambda: True)
    notes = []
    plan = rehearsed(*read_suite(f"{TINY}\n{REQUIRED}", None), None, notes.append)[1]
    assert notes == ["tiny is rehearsed without joules: CUDA_VISIBLE_DEVICES hides every GPU from the cell"]
    assert (plan.suite.resources.gpus, plan.suite.energy.required) == (1, False)
    rehearsed(*read_suite(f"{TINY}\n{REQUIRED}", None), "127.0.0.1:1", notes.append)
    assert len(notes) == 1  # of a cluster's nodes, their records say it


def _a_key(folder):
    return read_suite(folder / "tiny.yaml", None)[1].cells[0].key[:12]


@pytest.mark.parametrize(
    ("suite", "options", "message"),
    [
        ("qick", {}, "did you mean 'quick'"),
        (TINY.replace("magnitude", "magnitud"), {}, r"suite:\d+: grid.* unknown method 'magnitud'"),
        (TINY, {"inline": True, "workers": 2}, "--workers does nothing with --inline"),
        (TINY, {"smoke": True, "cell": "0"}, "a rehearsal has others"),
        (TINY, {"cell": "xyz"}, "not the beginning of a cell's key"),
        (TINY, {"plugins": ["nothing.py"]}, "nothing.py"),
        (TINY, {"plugins": "nothing.py"}, "--plugin nothing.py"),
        (TINY, {"plugins": Path("nothing.py")}, "--plugin nothing.py"),
        (TINY, {"workers": 0}, "--workers 0: give the number of cells at once"),
        (TINY, {"workers": -3}, "--workers -3"),
        (TINY, {"workers": 1.5}, "--workers 1.5"),
        (TINY, {"workers": True}, "--workers True"),
        (TINY, {"fail_over": 7}, "--fail-over 7: give the share"),
        (TINY, {"fail_over": -1, "inline": True}, "--fail-over -1"),
        (TINY, {"fail_over": "0.5", "inline": True}, "--fail-over '0.5'"),
        (TINY, {"fail_over": float("nan"), "inline": True}, "--fail-over nan"),
        (TINY, {"progress": Watcher, "inline": True}, "progress is <class .*an instance and no class"),
        ("", {}, "'' is no suite: give a YAML file's path"),
        (None, {}, "None is no suite"),
        ("name: tiny", {}, "suite:1: the key 'question' is missing|suite.*question"),
        ({"name": "tiny", "grid": [{"seeds": {1, 2}}]}, {}, r"suite: grid\[0\].seeds: \{1, 2\} is a set"),
        (TINY, {"address": "127.0.0.1:1"}, "nothing answers there"),
        (
            f"{TINY}\n{REQUIRED}",
            {},
            rf"none can be had on {platform.node()}: CUDA_VISIBLE_DEVICES hides",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_command_lines_message_and_leaves_no_folder(
    here, suite, options, message, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=message):
        package.run(suite, **{"progress": False} | options)
    assert list(here.iterdir()) == []


def test_progress_is_printed_unless_it_is_switched_off(here, capsys):
    package.run(TINY, inline=True, progress=False)
    assert capsys.readouterr().out == ""
    package.run(TINY, inline=True)
    assert capsys.readouterr().out == "tiny: 3 cells, 0 to run\n"


def test_a_mapping_may_hold_numpys_numbers(here):
    suite = yaml.safe_load(TINY)
    suite["protocol"]["steps"] = np.int64(30)
    suite["grid"][0] |= {"sparsities": np.array([0.5]), "seeds": np.uint8(1)}
    suite["grid"][0]["models"] = ({"name": np.str_("mlp"), "widths": (np.int32(16),)},)
    assert read_suite(suite, None)[1].cells == read_suite(TINY, None)[1].cells


def test_itself_within_itself_is_refused(here):
    suite = yaml.safe_load(TINY)
    suite["grid"].append(suite)
    with pytest.raises(UserError, match="within itself"):
        read_suite(suite, None)


def test_a_suite_of_one_line_is_a_suite(here):
    assert read_suite(str(yaml.safe_load(TINY)), None)[1].cells == read_suite(TINY, None)[1].cells


def test_the_home_folder_may_be_abbreviated_in_every_path(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    (here / "home").mkdir()
    (here / "home/tiny.yaml").write_text(TINY)
    (here / "home/mine.py").write_text("x = 1\n")
    package.run("~/tiny.yaml", "~/out", plugins="~/mine.py", inline=True, progress=False)
    assert sorted(path.name for path in here.iterdir()) == ["home"]
    assert (here / "home/out/suite.yaml").is_file()


# what a notebook registers


@pytest.fixture
def notebook(monkeypatch):
    """`notebook(source)`: run it as a cell of a notebook, or at a prompt that keeps no source."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    registry.methods.discover()
    monkeypatch.setattr(registry.methods, "_entries", dict(registry.methods._entries))

    def typed(source, *, name):
        if name != "<stdin>":
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), {"__name__": "__main__"})  # noqa: S102 - as a prompt does

    return typed


MINE = """
from dtcbench import register_method
from dtcbench.methods.magnitude import Magnitude

@register_method("mine")
class Mine(Magnitude):
    pass
"""


@pytest.mark.parametrize("name", ["<cell>", "<stdin>"])
def test_what_was_defined_anew_in_a_notebook_does_not_resume_what_it_made_before(here, notebook, name):
    suite = TINY.replace("magnitude", "mine")
    notebook(MINE, name=name)
    assert package.run(suite, inline=True, progress=False).status() == {"ok": 3}
    notebook(MINE + "\n# changed", name=name)
    with pytest.raises(UserError, match=r"another plug-in __main__\.Mine|method 'mine': defined at a prompt"):
        package.run(suite, inline=True, progress=False)


def test_what_only_this_process_registers_is_refused_before_ray_starts(here, notebook):
    notebook(MINE, name="<cell>")
    with pytest.raises(UserError, match=r"method 'mine': registered in this process only.*inline=True"):
        package.run(TINY.replace("magnitude", "mine"), progress=False)
    assert list(here.iterdir()) == []


# Ray and the process that calls


class FirstCell(Watcher):
    """Calls `then` when the first cell starts."""

    def __init__(self, then):
        self._then = [then]

    def started(self, cell):
        if self._then:
            self._then.pop()()


@pytest.mark.ray
def test_a_second_run_over_ray_in_the_same_process_is_refused_and_the_first_goes_on(here):
    refused = []

    def second():
        with pytest.raises(UserError, match="another run of this process uses Ray"):
            package.run(TINY, "other", workers=1, progress=False)
        refused.append(True)

    first = package.run(TINY, workers=1, progress=FirstCell(lambda: in_a_thread(second)))
    assert (first.status(), refused, (here / "other").exists()) == ({"ok": 3}, [True], False)


@pytest.mark.ray
def test_a_run_over_ray_leaves_the_process_as_it_was_also_in_a_thread(here, capfd, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "PYTHONBREAKPOINT", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    before, inside = (dict(os.environ), sys.excepthook), {}
    progress = FirstCell(lambda: inside.update(os.environ))
    assert in_a_thread(package.run, TINY, workers=1, progress=progress).status() == {"ok": 3}
    assert (dict(os.environ), sys.excepthook) == before
    assert inside["RAY_AUTH_MODE"] == "token"
    # Ray's driver sometimes logs that it could not tell itself of a task that its own shutdown ended.
    said = [line for line in capfd.readouterr().err.splitlines() if "Failed to push error to driver" not in line]
    assert said == []


@pytest.mark.ray
def test_a_ray_of_the_callers_is_shared_keeps_running_and_runs_as_many_cells_as_workers_says(here, monkeypatch):
    ray = pytest.importorskip("ray")
    for name, value in WITHOUT_TOKEN.items():
        monkeypatch.setenv(name, value)
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    try:
        executor = RayExecutor(Request(cpus=1), cores=1, slots=1)
        assert executor.slots == 1
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(package.run, TINY, out, workers=1, progress=False) for out in ("one", "other")]
        assert [run.result().status() for run in runs] == [{"ok": 3}] * 2
        executor.close()
        assert ray.is_initialized()
        with socket.create_server(("127.0.0.1", 0)) as elsewhere:
            address = f"127.0.0.1:{elsewhere.getsockname()[1]}"
            with pytest.raises(UserError, match="already connected to the Ray at"):
                package.run(TINY, "third", address=address, progress=False)
        here_address = ray.get_runtime_context().gcs_address
        assert package.run(TINY, "third", address=here_address, progress=False).status() == {"ok": 3}
    finally:
        ray.shutdown()
