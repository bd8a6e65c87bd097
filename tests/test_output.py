"""What is printed is best effort: no reader, disk or encoding ends or changes what a program does."""

import errno
import os
import sys
import threading
from pathlib import Path

import pytest

from dtcbench.output import Stream, best_effort, lost


def written(encoding, text, tmp_path):
    """The bytes that `text` becomes in an encoding."""
    file = tmp_path / "printed"
    with Stream(os.open(file, os.O_WRONLY | os.O_CREAT), encoding, closefd=True) as stream:
        stream.write(text)
    return file.read_bytes()


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("ascii", "−0.2 ± 1 · 3×32×32 … λ ≤ ½", b"-0.2 +/- 1 . 3x32x32 ... lambda <= 1/2"),
        ("ascii", "┏━┓ │ ╰ █ ⠋", b"+-+ | + # *"),
        ("ascii", "Süzen, Müller, naïve ²", b"Suzen, Muller, naive 2"),
        ("ascii", "鳥 \udcff", b"? ?"),
        ("latin-1", "−3 × 2 …", "-3 × 2 ...".encode("latin-1")),
        ("cp1252", "−3 × 2 …", "-3 × 2 …".encode("cp1252")),
        ("utf-8", "−3 × 2 …", "−3 × 2 …".encode()),
        ("utf-8", "a name \udcff", b"a name ?"),
    ],
)
def test_what_an_encoding_lacks_becomes_ascii_that_reads_alike(encoding, text, expected, tmp_path):
    assert written(encoding, text, tmp_path) == expected


def test_a_reader_who_leaves_is_remembered_and_raises_nothing():
    reader, writer = os.pipe()
    with Stream(writer, "utf-8", closefd=True) as stream:
        stream.write("heard\n")
        assert stream.lost is None
        os.close(reader)
        stream.write("unheard\n")
        stream.write("unheard\n")
        assert isinstance(stream.lost, BrokenPipeError)


def test_a_pipe_that_does_not_block_gets_everything_though_it_is_full_at_times():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    heard = []
    listener = threading.Thread(target=lambda: heard.extend(iter(lambda: os.read(reader, 65536), b"")))
    with Stream(writer, "utf-8", closefd=True) as stream:
        listener.start()
        stream.write("x" * 1_000_000)
    listener.join()
    os.close(reader)
    assert len(b"".join(heard)) == 1_000_000


def test_the_programs_streams_are_best_effort_inside_and_as_before_afterwards(monkeypatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with best_effort():
            sys.stdout.write("to a full device\n")
            assert lost().errno == errno.ENOSPC
        assert sys.stdout is full


def test_a_stream_that_is_closed_leads_nowhere_and_is_lost(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with best_effort():
        sys.stdout.write("to nobody\n")
        assert lost().errno == errno.EBADF
