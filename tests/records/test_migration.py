"""Runs of older schema versions: two that were made by the dtcbench of their time, and what becomes of them."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from dtcbench.plan.cell import canonical_json
from dtcbench.publish.examine import check
from dtcbench.record import OLDER
from dtcbench.records.location import StoreError
from dtcbench.records.lookup import plan_of, run_named
from dtcbench.records.sealing import opened, seal

OLDER_RUNS = Path(__file__).with_name("older")
"""`schema_5` names a method of the plug-in `narrow.py`."""
VERSIONS = (4, 5)


@pytest.fixture(params=VERSIONS)
def older(request, tmp_path):
    """A copy of an older run."""
    return shutil.copytree(OLDER_RUNS / f"schema_{request.param}", tmp_path / "older")


def records(folder):
    """The content of each record file, by its name."""
    return {file.name: opened(file.read_bytes()) for file in sorted((folder / "records").iterdir())}


def known(value):
    """A part of a record without the fields that its dtcbench did not know."""
    if isinstance(value, list):
        return [known(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    reasons = {name: reason for name, reason in value.get("reasons", {}).items() if reason != OLDER}
    newer = value.get("reasons", {}).keys() - reasons.keys()
    kept = {name: known(inner) for name, inner in value.items() if name not in newer}
    return kept | ({"reasons": reasons} if "reasons" in value else {})


def test_an_older_run_is_not_read_and_the_message_says_what_to_type(older, dtcbench):
    with pytest.raises(StoreError, match=f"dtcbench migrate {older}"):
        run_named(str(older)).outlines()
    ended = dtcbench("status", older)
    assert ended.code == 2 and f"dtcbench migrate {older}" in ended.err


def test_a_migrated_run_has_its_numbers_under_the_keys_of_its_plan(older, dtcbench):
    before = records(older)
    assert dtcbench("migrate", older).code == 0
    run = run_named(str(older))
    after = {name: record for name, (record, _) in records(older).items()}
    assert {record["key"] for record in after.values()} == {cell.key for cell in plan_of(run).cells}
    assert dtcbench("status", older).code == 0
    for record in after.values():
        (former,) = record["migrations"]
        old, seal = before[f"{former['key']}.{record['attempt']}.json"]
        assert former == {"key": old["key"], "sha256": seal, "schema_version": old["schema_version"]}
        assert (known(record["result"]), known(record["energy"]), record["started_at"]) == (
            *(old["result"], old["energy"], old["started_at"]),
        )


def test_a_migrated_record_states_every_option_and_the_key_holds_those_that_are_not_at_their_defaults(older, dtcbench):
    dtcbench("migrate", older)
    methods = [record["cell"]["method"] for record, _ in records(older).values()]
    (dtc,) = [method for method in methods if method["name"] == "dtc"]
    assert dtc["options"] == {}
    assert dtc["defaults"] == {"score": "reconstruction", "drop": "smallest", "lam": 0.3, "f": 0.1, "sides": "both"}
    variance = [method for method in methods if method["name"] == "variance"]
    assert [(method["options"], method["defaults"]) for method in variance] in ([], [({"power": 2.0}, {})])


@pytest.mark.usefixtures("sketched")
def test_a_migrated_run_is_checked_and_its_cells_are_run_again(older, dtcbench):
    dtcbench("migrate", older)
    dtcbench("report", older)
    run = run_named(str(older))
    barring = {found.rule for found in check(run) if found.weight == "error"}
    assert barring <= {"provenance"}  # the fixture was made from a checkout with changes, or by other plug-ins
    again = dtcbench("reproduce", older, "--plugin", OLDER_RUNS / "narrow.py")
    assert "not run" not in again.out and "cells reproduced" in again.out


def test_a_field_that_came_later_is_null_with_the_reason(tmp_path, dtcbench):
    older = shutil.copytree(OLDER_RUNS / "schema_4", tmp_path / "older")
    dtcbench("migrate", older)
    for record, _ in records(older).values():
        provenance = record["provenance"]
        assert (provenance["dataset_sha256"], provenance["reasons"]["dataset_sha256"]) == (None, OLDER)


def test_the_same_command_again_changes_nothing_and_says_so(older, dtcbench):
    dtcbench("migrate", older)
    before = records(older)
    ended = dtcbench("migrate", older)
    assert ended.code == 0 and "no record is older than schema version 6" in ended.out
    assert records(older) == before


def test_a_migration_that_was_cut_short_goes_on(older, dtcbench, tmp_path):
    untouched = shutil.copytree(older, tmp_path / "untouched")
    dtcbench("migrate", older)
    complete = records(older)
    for name in list(records(untouched))[:2]:  # the new files were written, the old ones not yet removed
        shutil.copy(untouched / "records" / name, older / "records" / name)
    dtcbench("migrate", older)
    assert records(older) == complete


def test_names_left_behind_by_a_migration_are_brought_up_too(tmp_path, dtcbench):
    older = shutil.copytree(OLDER_RUNS / "schema_5", tmp_path / "older")
    dtcbench("migrate", older)
    shutil.copy(OLDER_RUNS / "schema_5" / "names.json", older / "names.json")
    dtcbench("migrate", older)
    assert dtcbench("status", older).code == 0


def test_a_damaged_record_stays_as_it_is_and_is_named(older, dtcbench):
    name = next(iter(records(older)))
    (older / "records" / name).write_bytes((older / "records" / name).read_bytes()[:-9])
    ended = dtcbench("migrate", older)
    assert ended.code == 0 and f"{name}: damaged, left as it is: truncated or not JSON" in " ".join(ended.out.split())
    assert (older / "records" / name).is_file()


def test_a_record_whose_key_is_not_its_cells_is_damaged(older, dtcbench):
    (name, (record, _)), *_ = records(older).items()
    record["cell"]["seed"] = 7
    text = canonical_json(record)
    sealed = {"record": record, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (older / "records" / name).write_text(json.dumps(sealed))
    assert "is not the key of the cell it holds" in dtcbench("migrate", older).out


def test_a_sealed_record_with_another_cell_is_damaged_and_no_traceback(older, dtcbench):
    (name, (record, _)), *_ = records(older).items()
    record["cell"] = {"a": 1}
    record["key"] = hashlib.sha256(canonical_json(record["cell"]).encode()).hexdigest()
    (older / "records" / name).write_bytes(seal(record))
    told = " ".join(dtcbench("migrate", older).out.split())
    assert f"{name}: damaged, left as it is: not a record of schema version" in told


def test_a_run_whose_suite_was_cut_down_needs_the_plug_in_and_is_not_touched_without_it(tmp_path, dtcbench):
    older = shutil.copytree(OLDER_RUNS / "schema_5", tmp_path / "older")
    names = json.loads((older / "names.json").read_text())
    del names["meanings"]["method"]["variance"]
    names["chosen"]["method"] = [one for one in names["chosen"]["method"] if one["name"] != "variance"]
    (older / "names.json").write_text(json.dumps(names))
    before = {file: file.read_bytes() for file in older.rglob("*.json")}
    assert "method 'variance' is not known" in dtcbench("migrate", older).err
    assert {file: file.read_bytes() for file in older.rglob("*.json")} == before
    assert dtcbench("migrate", older, "--plugin", OLDER_RUNS / "narrow.py").code == 0
    assert len(records(older)) == 3


def test_a_plug_ins_records_need_its_defaults(tmp_path, dtcbench):
    older = shutil.copytree(OLDER_RUNS / "schema_5", tmp_path / "older")
    (older / "names.json").unlink()
    ended = dtcbench("migrate", older)
    assert ended.code == 2 and "method 'variance' is not known" in ended.err and "--plugin" in ended.err
    assert dtcbench("migrate", older, "--plugin", OLDER_RUNS / "narrow.py").code == 0
