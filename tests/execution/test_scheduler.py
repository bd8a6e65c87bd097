import pytest
from cells import cell, task
from hypothesis import given
from hypothesis import strategies as st

from dtcbench.execution.scheduler import INFRA_RETRIES, Scheduler, UnfitNodes
from dtcbench.record import Status

CELLS = [cell("random", seed=seed) for seed in range(6)]


def scheduler(count=3, **policy):
    return Scheduler([task(c) for c in CELLS[:count]], **{"slots": 2, **policy})


def test_as_many_cells_run_as_there_are_slots_in_plan_order():
    state = scheduler()
    assert [a.cell for a in state.start()] == CELLS[:2]
    assert state.start() == []
    state.ended(state.running[0], Status.OK)
    assert [a.cell for a in state.start()] == CELLS[2:3]


@pytest.mark.parametrize(("status", "numbers_made"), [(Status.INFRA, [1, 2, 3]), (Status.OOM, [1, 2])])
def test_what_its_node_ended_is_tried_again_but_only_so_often(status, numbers_made):
    state = scheduler(1)
    numbers = []
    while not state.done:
        (attempt,) = state.start()
        numbers.append(attempt.attempt)
        state.ended(attempt, status, by="node")
    assert numbers == numbers_made
    assert state.finished == {CELLS[0].key: status}


def test_a_node_is_set_aside_once_a_cell_begins_elsewhere_that_did_not_begin_on_it():
    unfit = UnfitNodes()
    assert unfit.not_begun("one", "bad", "no data") and unfit.not_begun("two", "bad", "no data")
    assert (unfit.avoided("one"), unfit.avoided("three")) == ({"bad"}, frozenset())
    assert unfit.begun("three") == {}
    assert unfit.begun("one") == {"bad": "no data"}
    assert unfit.avoided("three") == {"bad"}
    assert unfit.begun("two") == {}  # said once


def test_a_cell_that_begins_nowhere_is_at_fault_itself_and_no_node_is_set_aside():
    unfit = UnfitNodes()
    asked = [unfit.not_begun("broken", f"node {number}", "no such data set") for number in range(INFRA_RETRIES + 1)]
    assert asked == [True] * INFRA_RETRIES + [False]
    assert unfit.avoided("another") == frozenset()


def test_a_node_that_refuses_is_set_aside_at_once_and_said_once():
    unfit = UnfitNodes()
    assert [unfit.refused("old"), unfit.refused("old")] == [True, False]
    assert unfit.avoided("any") == {"old"}


def test_every_other_failure_is_final():
    by_itself = [(status, "cell") for status in Status]
    by_its_node = [(status, "node") for status in set(Status) - {Status.INFRA, Status.OOM}]
    for status, by in [*by_itself, *by_its_node]:
        state = scheduler(1)
        state.ended(*state.start(), status, by)
        assert state.done
        assert state.finished == {CELLS[0].key: status}


def test_a_late_echo_of_an_ended_attempt_does_not_count():
    state = scheduler(1)
    (attempt,) = state.start()
    assert state.ended(attempt, Status.TIMEOUT)
    assert not state.ended(attempt, Status.OK)
    assert state.finished == {CELLS[0].key: Status.TIMEOUT}


def test_a_deadline_is_counted_from_the_moment_an_attempt_has_begun():
    state = scheduler(2, slots=1, timeout_s=10)
    (first,) = state.start()
    assert state.overdue(1e12) == []  # the cluster has not got to it yet
    state.begun(first, 100)
    assert state.seconds_to_deadline(104) == 6
    assert state.overdue(110) == []
    assert state.overdue(110.5) == [first]
    state.ended(first, Status.TIMEOUT)
    assert state.seconds_to_deadline(110.5) is None
    state.begun(*state.start(), 111)
    assert state.overdue(120) == []


def test_news_of_an_attempt_that_has_ended_changes_nothing():
    state = scheduler(1, timeout_s=10)
    (attempt,) = state.start()
    state.ended(attempt, Status.OK)
    state.begun(attempt, 100)
    assert state.running == ()


def test_without_a_timeout_nothing_is_ever_overdue():
    state = scheduler()
    state.start()
    assert state.overdue(1e12) == []
    assert state.seconds_to_deadline(1e12) is None


def test_stopping_starts_nothing_more_and_retries_nothing():
    state = scheduler(3)
    first, second = state.start()
    assert [attempt.cell for attempt in state.stop()] == CELLS[2:3]
    state.ended(first, Status.OK)
    state.ended(second, Status.INFRA, by="node")
    assert state.start() == []
    assert state.done
    assert set(state.finished) == {CELLS[0].key, CELLS[1].key}


class Fate:
    """Draws what happens next to a scheduler, and holds it to its promises after each event."""

    def __init__(self, draw, count, slots, retries):
        self.draw, self.slots, self.now = draw, slots, 0.0
        self.state = scheduler(count, slots=slots, infra_retries=retries, timeout_s=10)
        self.begun, self.over, self.given_up, self.stopped = {}, [], [], False

    def next_event(self):
        """Something happens; what an executor tells comes in any order, and twice or late too."""
        events = [self.start, self.time_passes]
        events += [self.one_begins, self.one_ends] if self.state.running else []
        events += [self.late_news] if self.over else []
        events += [] if self.stopped else [self.stop]
        self.draw(st.sampled_from(events))()
        self.check()

    def start(self):
        started = self.state.start()
        assert not (self.stopped and started)

    def time_passes(self):
        self.now += self.draw(st.sampled_from([0.0, 1.0, 10.0, 11.0]))
        late = {attempt for attempt in self.state.running if self.now - self.begun.get(attempt, self.now) > 10}
        overdue = self.state.overdue(self.now)
        assert set(overdue) == late
        left = self.state.seconds_to_deadline(self.now)
        assert (left is None) == (not any(attempt in self.begun for attempt in self.state.running))
        assert left is None or (left == 0) >= bool(late)
        for attempt in overdue:
            self.end(attempt, Status.TIMEOUT, "cell")

    def one_begins(self):
        attempt = self.draw(st.sampled_from(self.state.running))
        self.state.begun(attempt, self.now)
        self.begun[attempt] = self.now

    def one_ends(self):
        attempt = self.draw(st.sampled_from(self.state.running))
        self.end(attempt, self.draw(st.sampled_from(list(Status))), self.draw(st.sampled_from(["cell", "node"])))

    def end(self, attempt, status, by):
        assert self.state.ended(attempt, status, by)
        self.over.append(attempt)

    def late_news(self):
        attempt, before = self.draw(st.sampled_from(self.over)), self.seen()
        self.state.begun(attempt, self.now)
        assert not self.state.ended(attempt, Status.OK)
        assert self.seen() == before

    def stop(self):
        self.given_up, self.stopped = [attempt.cell.key for attempt in self.state.stop()], True

    def seen(self):
        return self.state.running, self.state.done, dict(self.state.finished)

    def check(self):
        running = [attempt.cell.key for attempt in self.state.running]
        assert len(running) == len(set(running)) <= self.slots
        assert not set(running) & set(self.state.finished)
        assert not set(self.over) & set(self.state.running)


@given(st.data(), st.integers(1, 6), st.integers(1, 4), st.integers(0, 2))
def test_whatever_happens_in_whatever_order_every_cell_ends_once_and_never_runs_twice_at_once(
    data, count, slots, retries
):
    fate = Fate(data.draw, count, slots, retries)
    for _ in range(data.draw(st.integers(0, 40))):
        fate.next_event()
    for _ in range(count * (1 + retries + 1)):  # more attempts than there can be: then everything has ended
        fate.start()
        fate.check()
        for attempt in fate.state.running:
            fate.end(attempt, Status.INFRA, "node")
    assert fate.state.done
    assert sorted([*fate.state.finished, *fate.given_up]) == sorted(c.key for c in CELLS[:count])


# pairing


def attempts(*seeds_and_methods):
    return [
        task(cell(method, 0.0 if method == "dense" else 0.5, seed=seed), "cuda") for seed, method in seeds_and_methods
    ]


PAIRS = attempts((0, "dense"), (0, "random"), (1, "dense"), (1, "random"), (2, "dense"), (2, "random"))


def seeds(started):
    return [attempt.cell.seed for attempt in started]


def test_cells_of_one_model_dataset_and_seed_run_one_after_another_in_one_slot():
    state = Scheduler(PAIRS, slots=2)
    first = state.start()
    assert seeds(first) == [0, 1]
    assert state.start() == []
    state.ended(first[0], Status.OK)
    (second,) = state.start()
    assert second == PAIRS[1]
    assert state.holds(second.lane)
    state.ended(second, Status.OK)
    assert not state.holds(second.lane)
    assert state.start() == [PAIRS[4]]


def test_a_slot_waits_for_its_lane_to_be_tried_again():
    state = Scheduler(PAIRS, slots=1)
    state.ended(*state.start(), Status.INFRA, by="node")
    state.ended(*state.start(), Status.OK)
    (again,) = state.start()
    assert (again.cell, again.attempt) == (PAIRS[0].cell, 2)


def test_stopping_leaves_a_lane_when_what_runs_of_it_has_ended():
    state = Scheduler(PAIRS, slots=1)
    (running,) = state.start()
    state.stop()
    assert state.holds(running.lane)
    state.ended(running, Status.OK)
    assert not state.holds(running.lane)
    assert state.done


def test_another_model_dataset_or_seed_is_another_lane_and_another_protocol_is_not():
    def lane(the_cell, device="cuda"):
        return task(the_cell, device).lane

    one = cell("dtc", seed=0)
    assert lane(one) == lane(cell("dense", 0.0, seed=0)) == lane(cell("random", 0.9, lr=0.1, seed=0))
    assert lane(one) != lane(cell("dtc", seed=1))
    assert lane(one) != lane(cell("dtc", widths=(16,)))
    assert lane(one, "cpu") is None  # no energies are compared


POINTS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["dense", "random", "dtc"])), unique=True)


@given(POINTS, st.integers(1, 3))
def test_no_two_cells_of_a_lane_ever_run_together_and_no_more_lanes_than_slots(points, slots):
    state = Scheduler(attempts(*points), slots=slots)
    while not state.done:
        state.start()
        lanes = [attempt.lane for attempt in state.running]
        assert len(set(lanes)) == len(lanes) <= slots
        state.ended(state.running[-1], Status.OK)
    assert len(state.finished) == len(points)
