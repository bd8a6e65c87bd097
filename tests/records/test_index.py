import shutil

import pytest

from dtcbench.records import index
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


def test_a_small_run_keeps_none(store, monkeypatch):
    monkeypatch.setattr(index, "MANY", 3)
    store.index.unlink()
    with store.locked():
        pass
    assert not store.index.exists()
