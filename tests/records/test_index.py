import shutil
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pytest
from suites_for_tests import TINY as SUITE

from dtcbench.plan.grid import Plan
from dtcbench.plan.suite import parse
from dtcbench.records import contributions, index
from dtcbench.records.run import Run
from dtcbench.records.store import Store


@pytest.fixture
def store(tmp_path, monkeypatch, ok_record, failed_record):
    """A run that keeps an index, with two records."""
    monkeypatch.setattr(index, "MANY", 1)
    store = Store(tmp_path / "run")
    with store.locked() as writer:
        writer.append(ok_record)
        writer.append(failed_record)
    return store


@pytest.fixture
def read(monkeypatch):
    """The names of the record files that were read."""
    names, record = [], Store._record

    def seen(store, name, kind):
        names.append(name)
        return record(store, name, kind)

    monkeypatch.setattr(Store, "_record", seen)
    return names


def without_index(store):
    content = store.index.read_bytes()
    store.index.unlink()
    outlines = store.outlines()
    store.index.write_bytes(content)
    return outlines


def test_the_outlines_are_those_of_the_records_and_none_is_read(store, read):
    expected = without_index(store)
    read.clear()
    assert store.outlines() == expected
    assert read == []


def test_a_record_that_is_new_or_was_altered_is_read_and_no_other(store, read, ok_record):
    path = next(store.records.glob(f"{ok_record.key}.*"))
    path.write_bytes(path.read_bytes().replace(b'"status":"ok"', b'"status":"no"'))  # as long as it was
    outlines = store.outlines()
    assert read == [path.name]
    assert outlines.record(ok_record.key) is None
    assert "altered" in outlines.damaged[path]


def test_a_copied_run_is_read_anew(store, read, tmp_path):
    copied = Store(tmp_path / "copied")
    shutil.copytree(store.root, copied.root)
    assert copied.outlines().attempts == store.outlines().attempts
    assert len(read) == 2


@pytest.mark.parametrize("alter", [lambda text: text[:-9], lambda text: text.replace('"form":"', '"form":"0')])
def test_an_index_that_is_damaged_or_of_another_version_is_not_used(store, read, alter):
    store.index.write_text(alter(store.index.read_text()))
    assert len(store.outlines().attempts) == 2
    assert len(read) == 2


def tables_of(plan, store):
    run = Run.of(plan, store)
    return [run.cells, run.cycles, run.use]


def keep_tables(store):
    with store.locked() as writer:
        contributions.keep(writer)


@pytest.fixture
def plan(ok_record, failed_record):
    return Plan(parse(SUITE, "tiny"), (ok_record.cell, failed_record.cell), {}, ())


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_the_tables_are_those_of_the_records_and_none_is_read(store, plan, read):
    expected = tables_of(plan, store)
    keep_tables(store)
    read.clear()
    assert_same(tables_of(plan, store), expected)
    assert read == []


def test_the_tables_follow_a_record_that_is_new_altered_or_gone_and_no_other_is_read(
    store, plan, read, ok_record, failed_record
):
    keep_tables(store)
    ok_again = ok_record.model_copy(update={"attempt": 2, "wall_s": 123.0})
    with store.locked() as writer:
        new = writer.append(ok_again)
    read.clear()
    assert tables_of(plan, store)[0]["wall_s"].tolist() == [123.0, 1.0]
    assert read == [f"{ok_record.key}.1.json", new.name]
    new.write_bytes(new.read_bytes().replace(b"123.0", b"124.0"))
    assert tables_of(plan, store)[0]["wall_s"].tolist() == [ok_record.wall_s, 1.0]
    (store.records / f"{failed_record.key}.1.json").unlink()
    assert tables_of(plan, store)[0]["status"].tolist() == ["ok", "missing"]


def test_a_forged_index_of_the_tables_does_not_deceive_check(store, plan, ok_record):
    def better(part):
        place = part.cells.schema.get_field_index("accuracy")
        return replace(part, cells=part.cells.set_column(place, "accuracy", pa.array([0.99, 0.99])))

    with store.locked() as writer:
        writer.keep(contributions.NAME, contributions._content(better(contributions.read(store))))
    assert tables_of(plan, store)[0]["accuracy"][0] == 0.99
    assert Run.of(plan, store, anew=True).cells["accuracy"][0] == ok_record.result.accuracy


@pytest.mark.parametrize("alter", [lambda content: content[:-9], lambda content: content[:99] + b"?" + content[100:]])
def test_a_damaged_index_of_the_tables_is_not_used(store, plan, read, alter):
    keep_tables(store)
    file = store.root / contributions.NAME
    file.write_bytes(alter(file.read_bytes()))
    read.clear()
    assert tables_of(plan, store)[0]["status"].tolist() == ["ok", "error"]
    assert len(read) == 2


def test_a_small_run_keeps_none(store, monkeypatch):
    monkeypatch.setattr(index, "MANY", 3)
    store.index.unlink()
    keep_tables(store)
    assert not store.index.exists()
    assert not (store.root / contributions.NAME).exists()
