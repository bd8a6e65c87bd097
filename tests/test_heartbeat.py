import threading

import pytest

from dtcbench.heartbeat import Heartbeat, Heartbeats


def test_the_call_is_made_at_once_and_again_until_the_context_ends():
    callers, third, before = [], threading.Event(), threading.active_count()

    def call():
        callers.append(threading.current_thread())
        if len(callers) == 3:
            third.set()

    with Heartbeat(call, 0.01):
        assert callers[0] is threading.current_thread()
        assert third.wait(10)
    assert threading.active_count() == before


@pytest.mark.parametrize("failing", [{1}, {2}, {2, 3, 4, 7}])
def test_calls_that_fail_do_not_end_a_heartbeat(failing):
    calls, twelfth = [], threading.Event()

    def call():
        calls.append(None)
        if len(calls) == 12:
            twelfth.set()
        if len(calls) in failing:
            raise ConnectionError("for a moment")

    with Heartbeat(call, 0.001):
        assert twelfth.wait(10)


def test_a_heartbeat_has_the_error_and_how_long_no_call_has_succeeded():
    now, answers = [100.0], []

    def call():
        if answers.pop(0) == "fails":
            raise ConnectionError("the store is gone")
        now[0] += 1  # a call takes a second

    heartbeat = Heartbeat(call, 60.0, clock=lambda: now[0])
    assert heartbeat.silent_s == 0
    answers += ["fails", "fails", "succeeds"]
    for _ in range(2):
        now[0] += 10
        heartbeat.send()
    assert heartbeat.silent_s == 20
    assert str(heartbeat.error) == "the store is gone"
    heartbeat.send()
    assert heartbeat.silent_s == 1  # since the call began: what it did may lie as far back
    assert heartbeat.error is None


def test_an_attempt_is_silent_since_its_latest_heartbeat_and_unknown_once_forgotten():
    now = [100.0]
    heartbeats = Heartbeats(lambda: now[0])
    assert heartbeats.silences() == {}
    heartbeats.report("a", "node-1")
    now[0] += 3
    heartbeats.report("b", "node-2")
    now[0] += 2
    assert heartbeats.silences() == {"a": ("node-1", 5), "b": ("node-2", 2)}
    heartbeats.report("a", "node-1")
    assert heartbeats.silences()["a"] == ("node-1", 0)
    heartbeats.forget("a")
    heartbeats.forget("never seen")
    assert set(heartbeats.silences()) == {"b"}
