"""Every rule of publishing: a run that keeps them passes, and each kind of forgery is named with its reason."""

import itertools
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tampering import calibration, claim_accuracy, content, metered, records, reseal

from dtcbench import __version__
from dtcbench.publish import examine as checking
from dtcbench.publish.findings import RULES, bars, error, lines, note, warning
from dtcbench.publish.rules import limit_of_class
from dtcbench.records import untrusted
from dtcbench.records.store import Store


def test_a_finished_run_from_a_clean_checkout_passes(run, found):
    assert found(run) == []


def test_a_metered_run_passes(gpu_run, found):
    assert found(gpu_run) == []


def refused(found, folder, rule, *words):
    """The one line of errors of a rule, which must hold the words."""
    errors = [line for line in found(folder) if line.startswith(f"error: {rule}: ")]
    assert len(errors) == 1, found(folder)
    for word in words:
        assert word in errors[0]
    return errors[0]


# the folder


def test_a_link_out_of_the_folder_is_refused_and_nothing_is_read(run, found, tmp_path):
    (tmp_path / "secret").write_text("not for you")
    record = records(run)[0]
    record.unlink()
    record.symlink_to(tmp_path / "secret")
    lines = found(run)
    assert lines == [
        "error: folder: nothing in it was read",
        f"error: folder: records/{record.name}: a symbolic link, which may lead out of the folder; put the file itself "
        "there",
    ]


def test_a_folder_that_is_a_link_is_refused(run, found, tmp_path):
    shutil.move(run / "tables", tmp_path / "elsewhere")
    (run / "tables").symlink_to(tmp_path / "elsewhere")
    refused_lines = found(run)
    assert any("tables: a symbolic link" in line for line in refused_lines)


def test_a_pipe_is_refused_and_never_waited_for(run, found):
    os.mkfifo(run / "suite.pipe")
    assert "error: folder: suite.pipe: not a plain file; remove it" in found(run)


@pytest.mark.parametrize("name", ["suite.yaml", "records/{key}.json", "README.md", "anything.bin"])
def test_an_oversized_file_is_refused_unread(run, found, name):
    path = run / name.format(key=records(run)[0].stem)
    with path.open("ab") as file:
        file.truncate(2**30 + 1)  # takes no space on the disk
    assert any(f"{path.name}: 1073741825 bytes, more than the " in line for line in found(run))


def test_too_many_files_are_refused(run, found, monkeypatch):
    monkeypatch.setattr(untrusted, "MOST_FILES", 5)
    assert "error: folder: more than 5 files; publish it in parts" in found(run)


def test_a_folder_deep_inside_is_refused(run, found):
    (run / "records" / "more").mkdir()
    assert any("records/more: a folder inside a folder" in line for line in found(run))


def test_an_extra_file_is_refused(run, found):
    (run / "notes.pickle").write_bytes(b"\x80\x04.")
    refused(found, run, "files", "notes.pickle: no file of a run; remove it")


def test_locks_and_logs_of_a_run_are_its_own(run, found):
    (run / "ray.log").write_text("…")
    (run / ".lock").touch()
    (run / "records" / f"{records(run)[0].name}.damaged").write_text("{")
    assert found(run) == []


# the suite and the seals


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "not YAML"),
        ("a: !!python/object/apply:os.system [x]", "suite.yaml:1: not YAML"),
        ("[" * 100_000, "nested far too deeply"),
    ],
)
def test_a_suite_that_is_none_is_refused(run, found, text, words):
    (run / "suite.yaml").write_text(text)
    assert any(line.startswith("error: suite: suite.yaml: ") and words in line for line in found(run))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in itertools.pairwise("abcdefghi")
)


def test_a_bomb_of_aliases_is_refused(run, found):
    (run / "suite.yaml").write_text(BOMB)
    refused(found, run, "suite", "aliases expand to more than 100000 values")


@pytest.mark.parametrize(
    "content",
    [
        '{"record":' + "[" * 200_000,
        '{"record":' + "[" * 900 + "]" * 900 + ',"sha256":"x"}',
        '{"a":' + "9" * 10_000 + "}",
    ],
    ids=["deep and open", "deep and closed", "a number of ten thousand digits"],
)
def test_a_record_that_would_choke_a_parser_is_refused(run, found, content):
    path = records(run)[3]
    path.write_text(content)
    refused(found, run, "seals", path.name)


def test_names_that_only_look_like_a_records_are_no_files_of_a_run(run, found):
    for attempt in ("01", "٣", "1\n"):
        (run / "records" / f"{'a' * 64}.{attempt}.json").write_text("{}")
    line = refused(found, run, "files", "no file of a run")
    assert line.count("aaaa.") == 3


def test_a_rehearsal_is_refused(run, found):
    text = (run / "suite.yaml").read_text()
    (run / "suite.yaml").write_text(text.replace("name: tiny", "name: tiny-smoke"))
    assert any("suite: suite.yaml: a rehearsal: its figures mean nothing" in line for line in found(run))


def test_a_suite_that_is_not_text_is_refused(run, found):
    (run / "suite.yaml").write_bytes(b"\xff\xfe\x00")
    refused(found, run, "suite", "suite.yaml: it cannot be read")


def test_a_suite_too_large_to_plan_is_refused_and_never_expanded(run, found, monkeypatch):
    monkeypatch.setattr(checking, "MOST_CELLS", 5)
    monkeypatch.setattr(checking, "plan_in", None)
    refused(found, run, "suite", "it plans 6 cells, more than 5")


def test_records_of_another_suite_are_refused(run, found):
    text = (run / "suite.yaml").read_text()
    (run / "suite.yaml").write_text(text.replace("name: tiny", "name: other"))
    refused(found, run, "suite", "and 6 more: a record of suite tiny, not other")


def test_an_altered_figure_is_refused(run, found):
    path = records(run)[3]
    accuracy = content(path)["result"]["accuracy"]
    path.write_text(path.read_text().replace(f'"accuracy":{accuracy}', '"accuracy":0.99', 1))
    refused(found, run, "seals", path.name, "altered: its content does not match its seal")


def test_a_record_of_another_schema_is_refused(run, found):
    path = records(run)[3]
    reseal(path, lambda record: record.update(schema_version=99))
    refused(found, run, "seals", path.name, "not a record of this version of dtcbench: schema_version")


def test_a_record_under_another_cells_name_is_refused(run, found):
    one, other = records(run)[:2]
    other.write_bytes(one.read_bytes())
    refused(found, run, "seals", other.name, "holds another cell or attempt than its name says")


# planned and present


def test_a_missing_cell_is_refused(run, found):
    path = records(run)[3]
    path.unlink()
    refused(found, run, "cells", f"cell {path.name[:12]}: missing: it is planned and has no end of its own")


def test_a_missing_dense_cell_leaves_pairs_open(run, found):
    records(run)[1].unlink()
    refused(found, run, "pairs", "seed 1: 2 cells have no dense cell to compare with: it is missing")


def test_a_dense_cell_that_the_suite_leaves_out_is_said_and_bars_nothing(run, found):
    records(run)[1].unlink()
    with (run / "suite.yaml").open("a") as suite:
        suite.write("exclude: [{method: dense, seed: [1], reason: it takes long}]\n")
    lines = found(run)
    assert any(line.startswith("warning: pairs: ") and "it is left out by the suite" in line for line in lines), lines
    assert not any(line.startswith("error: pairs") for line in lines)


def failed(record):
    record.update(status="oom", reason="no memory", result=None, energy=None)
    record["reasons"] |= {"result": "no memory", "energy": "no memory"}


def test_a_failed_cell_is_a_row_and_no_obstacle(run, found):
    path = records(run)[3]
    reseal(path, failed)
    lines = found(run)
    assert f"warning: cells: cell {path.name[:12]}: oom: it stands in the table as such" in lines
    assert [line.partition(":")[2][:9] for line in lines if line.startswith("error")] == [" derived:"]


def test_a_record_that_nobody_planned_is_named(run, found):
    text = (run / "suite.yaml").read_text()
    (run / "suite.yaml").write_text(text.replace("[dtc, magnitude]", "[dtc]"))
    assert any(
        line.startswith("warning: cells: records/") and "does not plan: it is in no table" in line
        for line in found(run)
    )


# where it was made


def of_provenance(**changes):
    def edit(record):
        record["provenance"] |= changes
        record["provenance"]["reasons"] |= {name: "unknown" for name, value in changes.items() if value is None}

    return edit


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"commit_clean": False}, "made with uncommitted changes on commit c0ffee"),
        ({"commit_clean": None}, "made with a checkout in an unknown state"),
        ({"commit": None}, "no commit is recorded (unknown); run it from a clean git checkout"),
        ({"lock_sha256": None}, "no requirements.lock is recorded"),
    ],
)
def test_a_record_made_by_unknown_code_is_refused(run, found, changes, words):
    path = records(run)[4]
    reseal(path, of_provenance(**changes))
    refused(found, run, "provenance", path.name, words)


RELEASE = {"commit": None, "commit_clean": None, "lock_sha256": None, "source_sha256": "ab" * 32}


def test_an_installed_release_is_a_provenance_of_its_own(run, found):
    for path in records(run):
        reseal(path, of_provenance(**RELEASE))
    [line] = [line for line in found(run) if "provenance" in line]
    assert line.startswith("note: provenance: records/")
    assert line.endswith(f"made by an installed dtcbench {__version__} (source abababababab)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source_sha256": "main"}, "source_sha256 main is not a SHA-256"),
        ({"packages": {"torch": "2.13.0"}}, "no version of numpy, scipy"),
        ({"source_sha256": None}, "no commit is recorded (unknown)"),
    ],
)
def test_an_installed_release_without_its_digest_or_versions_is_refused(run, found, changes, words):
    path = records(run)[4]
    reseal(path, of_provenance(**RELEASE | changes))
    refused(found, run, "provenance", path.name, words)


def test_a_plug_in_is_named(run, found):
    reseal(records(run)[4], of_provenance(plugins={"mine": "ab" * 32}))
    assert any("made with plug-in mine (abababababab), whose source is not published" in line for line in found(run))


def test_kernels_that_differ_between_nodes_are_a_warning(run, found):
    for number, record in enumerate(records(run)):
        kernel = "Haswell" if number else "SkylakeX"
        reseal(record, of_provenance(kernels={"torch": "AVX2", "OpenBLAS": kernel}))
    (told,) = [line for line in found(run) if line.startswith("warning: hardware: ")]
    assert "kernels of OpenBLAS Haswell; kernels of OpenBLAS SkylakeX" in told


def test_mixed_hardware_is_refused(run, found):
    reseal(records(run)[4], of_provenance(hardware_class="CPU Another, 8 cores, 16 GiB"))
    refused(found, run, "hardware", "mlp", "2 hardware classes: CPU A", "CPU Another, 8 cores, 16 GiB")


# energy


def test_a_simulated_gpu_is_refused(gpu_run, found):
    metered(records(gpu_run)[4], name="FAKE H100", simulated=True)
    errors = [line for line in found(gpu_run) if line.startswith("error: meter: ")]
    assert any("a simulated GPU measures nothing" in line for line in errors)
    assert "error: meter: Energy of 1 cell comes from a simulated GPU (FAKE H100): not for publication." in errors


def test_a_simulated_gpu_that_denies_it_is_refused_by_its_name(gpu_run, found):
    metered(records(gpu_run)[4], name="FAKE H100", simulated=False)
    refused(found, gpu_run, "meter", "a simulated GPU measures nothing")


def test_joules_that_no_meter_is_named_for_are_refused(run, found):
    def modelled(record):
        record["energy"] |= {"energy_j": 1000.0, "window_s": 61.0}

    reseal(records(run)[4], modelled)
    refused(found, run, "meter", "1000 J that no meter is named for, or no samples")


def test_a_resealed_figure_that_its_samples_do_not_give_is_refused(gpu_run, found):
    path = records(gpu_run)[4]

    def saving(record):
        for figures in (record["energy"], record["energy"]["trace"]):
            for name in ("energy_j", "counter_j", "integral_j"):
                if name in figures:
                    figures[name] *= 0.5

    reseal(path, saving)
    errors = [line for line in found(gpu_run) if line.startswith("error: traces: ")]
    assert len(errors) == 3
    assert any("the record says energy_j 9150," in line and "its samples give 18" in line for line in errors)


def test_an_altered_trace_is_refused(gpu_run, found):
    one, other = sorted((gpu_run / "power").iterdir())[:2]
    metered(records(gpu_run)[4], watts=299)
    one.write_bytes(other.read_bytes() + b" ")
    refused(found, gpu_run, "traces", one.name, "altered: its content does not match its record")


def test_a_missing_trace_is_refused(gpu_run, found):
    path = next((gpu_run / "power").iterdir())
    path.unlink()
    refused(found, gpu_run, "traces", path.name, "the record speaks of it")


def test_power_above_the_limit_is_refused(gpu_run, found):
    metered(records(gpu_run)[4], watts=800)
    refused_lines = [line for line in found(gpu_run) if line.startswith("error: power: ")]
    assert "a mean power of 800 W, above the board's limit of 700 W" in " ".join(refused_lines)


def test_a_module_may_draw_more_than_the_limit_of_its_gpu(gpu_run, found):
    path = records(gpu_run)[4]
    metered(path, watts=800)
    reseal(path, lambda record: record["energy"].update(scope="module"))
    assert not [line for line in found(gpu_run) if line.startswith("error: power: ")]


@pytest.mark.parametrize(
    ("hardware_class", "watts"),
    [
        ("NVIDIA H200, 139 GiB, 700 W", 700),
        ("4 × NVIDIA H200, 139 GiB, 700 W", 2800),
        ("NVIDIA H200, 139 GiB, power limit unknown", None),
        ("CPU of some kind, 2 cores, 24 GiB", None),
    ],
)
def test_the_limit_of_a_hardware_class_is_that_of_all_its_boards(hardware_class, watts):
    assert limit_of_class(SimpleNamespace(hardware_class=hardware_class)) == watts


def test_a_short_window_is_refused(gpu_run, found):
    metered(records(gpu_run)[4], seconds=20)
    refused(found, gpu_run, "window", "joules were read over 20 s or too few samples, below 60 s")


@pytest.mark.parametrize(
    ("uuid", "window_s", "bar_s"),
    [("GPU-aaaa", 20.0, None), ("GPU-aaaa", 40.0, 40), ("GPU-bbbb", 20.0, 60), (None, 0, 60)],
)
def test_a_window_below_a_minute_needs_a_calibration_of_its_own_board(gpu_run, found, uuid, window_s, bar_s):
    path = records(gpu_run)[4]
    metered(path, seconds=20.5)
    reseal(path, lambda record: record["energy"].update(flags=[]))
    if uuid:
        with Store(gpu_run).locked() as writer:
            writer.save_calibration(calibration(uuid, window_s, key=content(path)["key"]))
    windows = [line for line in found(gpu_run) if line.startswith("error: window:")]
    assert len(windows) == (bar_s is not None)
    assert all(f"below {bar_s} s; " in line for line in windows)


PAUSE = {"window_s": 5.0, "cool_down_s": 10.0}
"""Of a board whose repeats agree over five seconds after a pause of ten."""


@pytest.mark.parametrize(
    ("changes", "errors", "warnings"),
    [
        ({}, [], []),
        ({"suite": "another"}, ["made for suite another, not tiny"], []),
        ({"key": "0" * 64}, ["made with cell 000000000000, which the suite does not plan"], []),
        ({"simulated": True}, ["made on a simulated GPU: not for publication"], []),
        ({"device": "NVIDIA A100"}, ["of a NVIDIA H200, and its board's calibration of NVIDIA A100"], []),
        ({"driver": "580.9"}, [], ["by driver 570.1, and its board's calibration by 580.9"]),
        ({"dtcbench": "0.0.1"}, [], [f"by dtcbench {__version__}, and its board's calibration by 0.0.1"]),
        ({"taken_at": "2099-01-01T00:00:00+00:00"}, [], ["measured over less than a minute before its board was"]),
        ({"gpu_uuid": "GPU-bbbb"}, [], ["calibrations/GPU-bbbb.json: no cell of the run was measured on this board"]),
        (PAUSE, ["the calibrated window needs a pause of 10 s before it"], []),
    ],
)
def test_a_calibration_is_held_against_the_run_that_it_lies_with(gpu_run, found, changes, errors, warnings):
    path = records(gpu_run)[4]
    metered(path, seconds=20.5)
    reseal(path, lambda record: record["energy"].update(flags=[]))
    made = calibration("GPU-aaaa", 20.0, key=content(path)["key"])
    if changes is PAUSE:
        agreed = {"cool_down_s": 10.0, "joules": [100.0] * 4}
        made = made.model_copy(update={"tried": [*made.tried[:2], made.tried[0].model_copy(update=agreed)]})
    with Store(gpu_run).locked() as writer:
        writer.save_calibration(made.model_copy(update=changes))
    told = {weight: [one for one in found(gpu_run) if one.startswith(weight)] for weight in ("error", "warning")}
    for weight, expected in (("error: calibration: ", errors), ("warning: calibration: ", warnings)):
        lines_of_rule = [one for one in told[weight.partition(":")[0]] if one.startswith(weight)]
        assert len(lines_of_rule) == len(expected), told
        assert all(words in one for words, one in zip(expected, lines_of_rule, strict=True)), told
    below_a_minute = [one for one in told["error"] if one.startswith("error: window:")]
    assert len(below_a_minute) == (changes is PAUSE or "gpu_uuid" in changes)  # no calibrated window holds for it


def test_a_calibration_that_has_not_ended_is_told_with_what_goes_on(gpu_run, found):
    made = calibration("GPU-aaaa", 20.0, key=content(records(gpu_run)[0])["key"])
    begun = {"tried": made.tried[:1], "window_s": None, "cool_down_s": None}
    reasons = dict.fromkeys(("window_s", "cool_down_s"), "1 of 18 windows so far: they differ")
    with Store(gpu_run).locked() as writer:
        writer.save_calibration(made.model_copy(update=begun | {"reasons": reasons}))
    told = "calibrations/GPU-aaaa.json: 1 of 18 windows so far: they differ; `dtcbench calibrate` goes on"
    assert found(gpu_run) == [f"warning: calibration: {told}"]


def test_a_window_said_to_be_longer_than_its_samples_is_refused(gpu_run, found):
    path = records(gpu_run)[4]
    metered(path, seconds=30)

    def longer(record):
        record["energy"] |= {"window_s": 70.0, "flags": []}

    reseal(path, longer)
    refused(found, gpu_run, "traces", "the record says window_s 70, its samples give 30")


def test_samples_that_nobody_speaks_of_are_named(gpu_run, found):
    path = sorted((gpu_run / "power").iterdir())[0]
    shutil.copy(path, path.with_name(f"{'0' * 64}.1.parquet"))
    assert any(line.startswith(f"warning: files: power/{'0' * 64}.1.parquet: ") for line in found(gpu_run))


def test_a_cell_of_the_cpu_has_no_joules_of_a_gpu(gpu_run, found):
    reseal(records(gpu_run)[4], of_provenance(device="cpu"))
    refused(found, gpu_run, "meter", "that no meter is named for")


# figures


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accuracy": 1.5}, "accuracy 1.5 is not between 0 and 1"),
        ({"accuracy": "nan"}, "accuracy nan is not between 0 and 1"),
        ({"parameters": 10**30}, "parameters is not a count"),
        ({"train_s": 1e6}, "s of work in"),
        ({"evaluate_s": -1.0}, "a time is negative"),
        ({"hits": "gA=="}, "1 bytes are not the bits of 360 samples"),
        ({"hits": "A" * 60}, "0 hits of 360 test samples are not accuracy"),
    ],
)
def test_figures_that_cannot_be_are_refused(run, found, changes, words):
    reseal(records(run)[4], lambda record: record["result"].update(changes))
    errors = [line for line in found(run) if line.startswith("error: figures: ")]
    assert any(words in line for line in errors)


def test_a_seed_that_is_a_copy_of_another_is_refused(run, found):
    one, other = records(run)[3:5]
    result = content(one)["result"]
    reseal(other, lambda record: record.update(result=result))
    refused(found, run, "seeds", "seeds 0 and 1 have the same accuracy and losses to the last bit: one is a copy")


def test_seeds_that_merely_agree_are_named_and_no_obstacle(run, found):
    for path in records(run)[3:6]:
        reseal(path, lambda record: claim_accuracy(record, 1.0))
    lines = found(run)
    assert any("3 seeds have one and the same accuracy" in line for line in lines if line.startswith("warning: seeds"))
    assert not any(line.startswith("error: seeds") for line in lines)


# what is derived


@pytest.mark.parametrize(
    "name", ["leaderboard.md", "leaderboard.tex", "leaderboard.csv", "leaderboard.html", "tables/cells.parquet"]
)
def test_a_table_that_is_not_what_the_records_give_is_refused(run, found, name):
    (run / name).write_bytes((run / name).read_bytes().replace(b"dtc", b"DTC"))
    refused(found, run, "derived", name, "it is not what the records give; `dtcbench report` builds it again")


def test_a_table_that_another_version_of_the_library_wrote_is_the_same_table(run, found):
    import pandas as pd

    table = run / "tables/cells.parquet"
    before = table.read_bytes()
    pd.read_parquet(table).to_parquet(table, index=False, compression="gzip")
    assert table.read_bytes() != before
    assert found(run) == []


def test_a_figure_may_be_what_another_version_of_the_library_drew_but_must_be_one_of_the_runs(run, found):
    names = sorted(path.name for path in (run / "figures").iterdir())
    assert names[:2] == [
        f"standard-cycle-steps-5-steps-30-digits-mlp-widths-16-accuracy-by-sparsity.{form}" for form in ("pdf", "svg")
    ]
    (run / "figures" / names[0]).write_bytes(b"%PDF-1.4 drawn otherwise")
    (run / "figures" / names[1]).unlink()
    assert found(run) == []
    (run / "figures" / "standard-digits-mlp-widths-17-power.svg").write_text("<svg/>")
    refused(found, run, "files", "figures/standard-digits-mlp-widths-17-power.svg: no file of a run; remove it")


def test_a_check_draws_nothing(run, found, monkeypatch):
    monkeypatch.setattr("dtcbench.report.build.on_paper", lambda *_: pytest.fail("drawn"))
    assert found(run) == []


# the lines


def test_lines_are_grouped_sorted_and_free_of_control_characters():
    many = [warning("cells", f"c{i}", "x") for i in range(5)]
    assert lines([*many, error("files", "a\x1b[31m", "no\nfile")]) == [
        "error: files: a [31m: no file",
        "warning: cells: c0, c1, c2 and 2 more: x",
    ]
    assert bars([error("files", "a", "b")]) and not bars([*many, note("files", "a", "b")])


def test_errors_come_first_then_warnings_then_notes():
    told = [weigh("files", "", "x") for weigh in (note, warning, error)]
    assert [line.partition(":")[0] for line in lines(told)] == ["error", "warning", "note"]


def test_every_rule_is_in_the_documentation_in_the_same_words():
    page = (Path(__file__).parents[2] / "docs/publishing.md").read_text()
    assert all(f"| `{rule}` | {asks} |" in page for rule, asks in RULES.items())
