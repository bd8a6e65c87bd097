"""The cache decodes once, checks at every load, and repairs itself."""

import hashlib
import logging
import multiprocessing
import shutil
from contextlib import suppress
from pathlib import Path
from threading import BrokenBarrierError

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtcbench.datasets import cache
from dtcbench.datasets.cache import Pin
from dtcbench.datasets.splits import DatasetError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
PIN = Pin("small/array", ARRAY.shape, hashlib.sha256(ARRAY.tobytes()).hexdigest())
# The same array, known by the digest of the file it comes from alone.
FILE_PIN = Pin("small/array", ARRAY.shape, hashlib.sha256(b"a file").hexdigest(), "file")
PINS = pytest.mark.parametrize("pin", [PIN, FILE_PIN], ids=["array pinned", "file pinned"])


class Decoder:
    """Gives ARRAY and counts how often it was asked to."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return ARRAY


def never():
    raise AssertionError("decoded although the cache is intact")


def cached_file(folder) -> Path:
    [path] = folder.glob("small/*.npy")
    return path


@PINS
def test_what_was_decoded_once_is_mapped_ever_after(pin):
    first = cache.obtain(pin, Decoder())
    second = cache.obtain(pin, never)
    for array in (first, second):
        np.testing.assert_array_equal(array, ARRAY)
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_nothing_temporary_stays_behind(own_cache):
    cache.obtain(PIN, Decoder())
    assert not list(own_cache.rglob("*.tmp"))


def test_is_cached_only_after_decoding():
    assert not cache.is_cached(PIN)
    cache.obtain(PIN, Decoder())
    assert cache.is_cached(PIN)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@PINS
def test_any_damaged_byte_is_repaired(pin, data, own_cache):
    shutil.rmtree(own_cache, ignore_errors=True)  # of the example before
    cache.obtain(pin, Decoder())
    path = cached_file(own_cache)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    np.testing.assert_array_equal(cache.obtain(pin, Decoder()), ARRAY)
    np.testing.assert_array_equal(cache.obtain(pin, never), ARRAY)


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"0" * 64, None], ids=["empty", "noise", "other", "gone"])
def test_an_array_whose_note_was_damaged_is_decoded_again(own_cache, note):
    cache.obtain(FILE_PIN, Decoder())
    [path] = own_cache.glob(f"small/*.from-{FILE_PIN.sha256}")
    path.unlink() if note is None else path.write_bytes(note)
    again = Decoder()
    np.testing.assert_array_equal(cache.obtain(FILE_PIN, again), ARRAY)
    assert again.calls == 1
    cache.obtain(FILE_PIN, never)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file_is_decoded_again_with_a_warning(own_cache, caplog, kept):
    cache.obtain(PIN, Decoder())
    path = cached_file(own_cache)
    path.write_bytes(path.read_bytes()[:kept])
    again = Decoder()
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(cache.obtain(PIN, again), ARRAY)
    assert again.calls == 1
    assert [str(path) in r.getMessage() for r in caplog.records] == [True]


def test_an_altered_source_is_decoded_although_the_array_is_cached():
    cache.obtain(PIN, Decoder(), source="aa")
    cache.obtain(PIN, never, source="aa")
    other = Decoder()
    cache.obtain(PIN, other, source="bb")
    assert other.calls == 1
    cache.obtain(PIN, never)


def test_a_failed_decoding_leaves_nothing_and_is_tried_again(own_cache):
    def broken():
        raise DatasetError("no copy")

    with pytest.raises(DatasetError, match="no copy"):
        cache.obtain(PIN, broken)
    assert not cache.is_cached(PIN)
    np.testing.assert_array_equal(cache.obtain(PIN, Decoder()), ARRAY)


def test_a_cache_that_cannot_be_written_names_the_remedy(own_cache):
    own_cache.write_text("a file where the folder should be")
    with pytest.raises(DatasetError, match="DTCBENCH_CACHE_DIR"):
        cache.obtain(PIN, Decoder())


def _obtain_at_once(arrived, decoding, log):
    def decode():
        with log.open("a") as file:
            file.write("decoded\n")
        # Passes only if the other process decodes too; else it breaks, and the lock did its work.
        with suppress(BrokenBarrierError):
            decoding.wait(timeout=0.5)
        return ARRAY

    arrived.wait(timeout=60)
    assert np.array_equal(cache.obtain(PIN, decode), ARRAY)


def test_two_processes_at_once_decode_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    arguments = (context.Barrier(2), context.Barrier(2), log)
    workers = [context.Process(target=_obtain_at_once, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert log.read_text() == "decoded\n"


@PINS
def test_a_folder_out_of_reach_is_named_with_the_remedy(pin, monkeypatch):
    monkeypatch.setenv("DTCBENCH_CACHE_DIR", "/dev/null/cache")
    assert not cache.is_cached(pin)
    with pytest.raises(DatasetError, match=r"/dev/null/cache.*cannot be written .*; set DTCBENCH_CACHE_DIR"):
        cache.obtain(pin, Decoder(), source="digest")
