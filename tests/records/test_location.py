"""Runs in an object store, played by fsspec's own store in memory, and what both kinds of place promise."""

import itertools
import os
import platform
from contextlib import contextmanager

import pytest

from dtcbench.heartbeat import Heartbeat
from dtcbench.plan.names import Declared
from dtcbench.record import CellRecord
from dtcbench.records import location
from dtcbench.records.location import StoreError, create, held, place, write
from dtcbench.records.store import Store

NO_NAMES = Declared(meanings={}, chosen={})

_buckets = itertools.count()


@pytest.fixture(params=["folder", "bucket"])
def folder(request, tmp_path):
    """An empty folder of either kind."""
    return tmp_path if request.param == "folder" else place(f"memory://bucket{next(_buckets)}/run")


@pytest.fixture
def bucket():
    return place(f"memory://bucket{next(_buckets)}/run")


@pytest.fixture
def short_lease(monkeypatch):
    monkeypatch.setattr(location, "BEAT_S", 0.02)
    monkeypatch.setattr(location, "LEASE_S", 0.3)


@pytest.fixture
def beating(monkeypatch):
    """Heartbeats sent by hand, in the order in which they were made, and a clock that stands still."""
    sent, now = [], [0.0]

    @contextmanager
    def by_hand(call, every_s):
        sent.append(Heartbeat(call, every_s, clock=lambda: now[0]))
        yield sent[-1]

    monkeypatch.setattr(location, "Heartbeat", by_hand)
    return sent, now


def test_a_run_reads_back_what_was_written_wherever_it_lies(folder, ok_record, failed_record):
    store = Store(folder)
    with store.locked() as writer:
        writer.append(ok_record)
        writer.append(failed_record)
        writer.save_suite("tiny", "name: tiny", NO_NAMES, store.read())
    assert {r.key: r for r in store.decisive(store.files().values(), CellRecord)} == {
        r.key: r for r in (ok_record, failed_record)
    }
    assert store.existing().suite.read_text() == "name: tiny"


def test_a_damaged_record_is_set_aside_wherever_it_lies(folder, ok_record):
    store = Store(folder)
    with store.locked() as writer:
        write(writer.append(ok_record), b"{")
        (damaged,) = store.read().damaged
        writer.set_aside(damaged)
    assert store.read().damaged == {}
    assert store.read().next_attempt(ok_record.key) == 2


def test_what_stands_is_never_written_again(folder):
    write(folder / "other", b"")
    create(folder / "record", b"first")
    with pytest.raises(StoreError, match="record stands already"):
        create(folder / "record", b"second")
    assert (folder / "record").read_bytes() == b"first"


def test_a_bucket_held_by_a_living_run_is_refused_by_name_and_free_when_that_ends(bucket, short_lease):
    this, told = f"process {os.getpid()} on {platform.node()}", []
    with (
        held(bucket),
        pytest.raises(StoreError, match=rf"{bucket} is in use by {this}; .*--out"),
        held(bucket, told.append),
    ):
        pass
    assert told[0].startswith(f"{bucket}: its lease is of {this}; this takes it over in 0.3 s unless it is renewed")
    with held(bucket):
        assert (bucket / ".lease").exists()
    assert not (bucket / ".lease").exists()


def test_a_bucket_whose_holder_died_is_taken_over_and_whoever_waits_is_told(bucket, short_lease, caplog):
    write(bucket / ".lease", b"of a process of older dtcbench")
    with Store(bucket).locked():
        assert (bucket / ".lease").read_bytes() != b"of a process of older dtcbench"
    assert "of another process; this takes it over" in caplog.text


def test_a_renewal_that_fails_once_loses_no_lease(bucket, beating, monkeypatch, ok_record):
    sent, now = beating
    store = Store(bucket)
    with store.locked() as writer:
        now[0] += location.BEAT_S
        with monkeypatch.context() as cut_off:
            cut_off.setattr(location, "_held_by", lambda lease: 1 / 0)
            sent[0].send()
        now[0] += location.BEAT_S
        sent[0].send()
        now[0] += location.LEASE_S
        writer.append(ok_record)
    assert not (bucket / ".lease").exists()


def test_a_holder_that_cannot_renew_its_lease_writes_no_more(bucket, beating, monkeypatch, ok_record, failed_record):
    sent, now = beating
    store = Store(bucket)
    with store.locked() as writer:
        writer.append(ok_record)
        with monkeypatch.context() as cut_off:
            cut_off.setattr(location, "write", lambda file, content: (_ for _ in ()).throw(StoreError("no network")))
            now[0] += location.LEASE_S + 1
            sent[0].send()
        for write_something in (
            lambda: writer.append(failed_record),
            lambda: writer.save_suite("tiny", "", NO_NAMES, store.read()),
            lambda: writer.derived("leaderboard.md", ""),
        ):
            with pytest.raises(StoreError, match=r"lease was not renewed for 16 s \(no network\).*resumes"):
                write_something()
    assert list(store.read().attempts) == [ok_record.key]
    assert not (bucket / ".lease").exists()


@pytest.mark.parametrize("later_s", [0, location.LEASE_S + 1])
def test_a_holder_whose_lease_was_taken_over_leaves_it_to_the_other_at_once(bucket, beating, failed_record, later_s):
    sent, now = beating
    store = Store(bucket)
    with store.locked() as writer:
        now[0] += later_s
        write(bucket / ".lease", b"another's")
        sent[0].send()
        with pytest.raises(StoreError, match="another process has taken it over"):
            writer.append(failed_record)
    assert (bucket / ".lease").read_bytes() == b"another's"


def test_a_path_is_a_path_and_an_address_is_not(tmp_path):
    assert place(str(tmp_path)) == tmp_path
    assert str(place("memory://somewhere/run")) == "memory://somewhere/run"


def test_an_address_that_leads_nowhere_says_so_and_what_to_do():
    with pytest.raises(StoreError, match=r"nosuch://bucket/run: .*--out"):
        place("nosuch://bucket/run")


def test_a_store_whose_package_is_missing_names_the_package():
    try:
        import s3fs  # noqa: F401
    except ImportError:
        with pytest.raises(StoreError, match=r"s3://bucket/run: Install s3fs.*with pip"):
            place("s3://bucket/run")
    else:
        pytest.skip("s3fs is installed here")
