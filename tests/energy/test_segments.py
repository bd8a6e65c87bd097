"""The clock of a cell: what lies inside the energy boundary, and what not."""

import pytest

from dtcbench.energy.segments import PhaseTimer, Segment


class Bench:
    """A Phases with a clock by hand and a log of what was done to the device."""

    def __init__(self):
        self.log, self.now = [], 100.0
        self.phases = PhaseTimer(synchronize=lambda: self.log.append("synchronize"), clock=lambda: self.now)

    def work(self, seconds):
        self.log.append("work")
        self.now += seconds


@pytest.fixture
def bench():
    return Bench()


def test_seconds_add_up_by_phase(bench):
    for seconds in (1, 2):
        with bench.phases.phase("train"):
            bench.work(seconds)
        with bench.phases.phase("compress"):
            bench.work(10 * seconds)
        with bench.phases.phase("evaluate"):
            bench.work(100 * seconds)
        bench.work(1000)
    assert [bench.phases.seconds(phase) for phase in ("train", "compress", "evaluate")] == [3, 30, 300]
    assert bench.phases.seconds("train", "compress") == 33


def test_segments_are_kept_in_their_order_with_the_training_they_belong_to(bench):
    with bench.phases.phase("train"):
        bench.work(1)
    bench.phases.train_again()
    with bench.phases.phase("compress"):
        bench.work(2)
    assert bench.phases.segments == (Segment(100, 101, "train", 0), Segment(101, 103, "compress", 1))
    assert (bench.phases.seconds("train"), bench.phases.seconds("compress")) == (0, 2)


def test_the_device_has_done_its_work_at_both_edges(bench):
    with bench.phases.phase("train"):
        bench.work(1)
    assert bench.log == ["synchronize", "work", "synchronize"]


def test_queued_work_counts_for_the_phase_that_queued_it():
    now, queued = 0.0, 5.0

    def synchronize():
        nonlocal now, queued
        now, queued = now + queued, 0.0

    phases = PhaseTimer(synchronize, clock=lambda: now)
    with phases.phase("train"):
        queued = 2.0
    assert phases.segments == (Segment(5, 7, "train", 0),)


def test_an_exception_ends_the_segment_and_passes(bench):
    with pytest.raises(MemoryError), bench.phases.phase("train"):
        bench.work(2)
        raise MemoryError
    assert bench.log == ["synchronize", "work"]
    assert bench.phases.seconds("train") == 2
    with bench.phases.phase("evaluate"):
        bench.work(1)
    assert bench.phases.seconds("evaluate") == 1


def test_an_error_of_the_queued_work_ends_the_segment(bench):
    def broken():
        bench.log.append("synchronize")
        if bench.log.count("synchronize") == 2:
            raise RuntimeError("device-side assert")

    phases = PhaseTimer(broken, clock=lambda: bench.now)
    with pytest.raises(RuntimeError, match="device-side assert"), phases.phase("train"):
        bench.work(2)
    assert phases.seconds("train") == 2


def test_phases_do_not_nest(bench):
    with bench.phases.phase("train"):
        with pytest.raises(RuntimeError, match="evaluate begins inside phase train"), bench.phases.phase("evaluate"):
            pass
        bench.work(1)
    assert bench.phases.seconds("train") == 1
