"""Ctrl-C and the signals that mean the same."""

import os
import signal
import subprocess
import threading

import pytest

from dtcbench.execution import interrupts
from dtcbench.execution.interrupts import Interrupts, as_ctrl_c, kept_from_children

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ALL = (*SIGNALS, signal.SIGUSR1)


def tell(signum):
    os.kill(os.getpid(), signum)


def handlers():
    return [signal.getsignal(number) for number in ALL]


@pytest.mark.parametrize("signum", SIGNALS)
def test_the_first_asks_to_stop_the_second_stops_at_once_and_handlers_are_as_before(signum, monkeypatch):
    monkeypatch.setattr(interrupts, "_ECHO_S", -1.0)
    before, asked = handlers(), Interrupts()
    with pytest.raises(KeyboardInterrupt), asked.caught():
        assert not asked.asked_to_stop
        tell(signum)
        assert asked.asked_to_stop
        tell(signum)
    assert handlers() == before


def test_sigterm_stops_at_once_where_a_kill_follows_and_no_other_signal_does():
    asked = Interrupts(at_once=True)
    with asked.caught():
        tell(signal.SIGINT)
    assert asked.asked_to_stop
    with pytest.raises(KeyboardInterrupt), Interrupts(at_once=True).caught():
        tell(signal.SIGTERM)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_notice_asks_to_stop_however_often_it_comes_and_what_comes_after_it_stops_at_once(signum):
    before, asked = handlers(), Interrupts()
    with pytest.raises(KeyboardInterrupt), asked.caught():
        tell(signal.SIGUSR1)
        tell(signal.SIGUSR1)
        assert asked.asked_to_stop
        tell(signum)
    assert handlers() == before


def test_a_notice_before_the_first_cell_ends_in_order():
    with pytest.raises(KeyboardInterrupt), as_ctrl_c():
        tell(signal.SIGUSR1)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_arrives_twice_in_a_row_is_one(signum, monkeypatch):
    monkeypatch.setattr(interrupts, "_ECHO_S", 60.0)
    asked = Interrupts()
    with asked.caught():
        tell(signum)
        tell(signum)
    assert asked.asked_to_stop


def test_a_hang_up_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    asked = Interrupts()
    try:
        with as_ctrl_c(), asked.caught():
            tell(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not asked.asked_to_stop


def test_in_a_thread_nothing_is_caught():
    seen = []

    def catch():
        with as_ctrl_c(), Interrupts().caught(), kept_from_children():
            seen.append(handlers())

    thread = threading.Thread(target=catch)
    thread.start()
    thread.join()
    assert seen == [handlers()]


def test_a_library_that_takes_sigterm_gives_it_back():
    before = signal.getsignal(signal.SIGTERM)
    with kept_from_children():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_child_outlives_the_terminal_and_its_parent_still_hears_of_it():
    with kept_from_children():
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.send_signal(signal.SIGHUP)
    assert child.communicate(b"still here", timeout=60)[0] == b"still here"
    asked = Interrupts()
    with asked.caught():
        tell(signal.SIGHUP)
    assert asked.asked_to_stop
