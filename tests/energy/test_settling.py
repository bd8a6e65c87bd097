"""Before a cell: cooling down, being alone, being idle; with a clock by hand."""

import pynvml
import pytest
from energy.traces import HOST

from dtcbench.energy.meter import LEAD_S, STEADY_S, settle
from dtcbench.energy.processes import ThisProcess
from dtcbench.energy.segments import Interval
from dtcbench.plan.metering import Metering
from dtcbench.unavailable import Unavailable


class Room:
    """A clock that sleeping moves, and a GPU that changes with it: `degrees` by the second."""

    def __init__(self, nvml, degrees=lambda s: 40, left_at=0.0):
        self.now, self._nvml, self._degrees, self._left_at = 0.0, nvml, degrees, left_at
        self.sleep(0.0)

    def sleep(self, seconds):
        self.now += seconds
        self._nvml.fails["temperature"] = int(self._degrees(self.now))
        self._nvml.processes = [] if self.now >= self._left_at else [99]

    def settle(self, **metering):
        own = metering.pop("own", HOST)
        return settle(["GPU-aaaa"], Metering(**metering), own, clock=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def room(fake_nvml):
    return lambda **changes: Room(fake_nvml, **changes)


def test_nothing_asked_for_is_a_look_at_the_idle_gpu(room):
    found = room().settle()
    assert found.idle == Interval(LEAD_S, LEAD_S + 5)
    assert (found.cool_down_s, found.cooled, found.processes) == (0, True, frozenset())


def test_a_time_is_waited(room):
    found = room().settle(cool_down={"at_least": "30s"}, idle="2s")
    assert found.cool_down_s == pytest.approx(30)
    assert (found.idle.begin_s, found.idle.seconds) == (pytest.approx(30 + LEAD_S), pytest.approx(2))


def test_a_temperature_is_waited_for(room):
    found = room(degrees=lambda s: 80 - s / 2).settle(cool_down={"below_c": 50})
    assert (found.cooled, found.steady) == (True, False)
    assert found.cool_down_s == pytest.approx(60, abs=3)


def test_a_gpu_that_cools_no_further_is_not_waited_for_any_longer(room):
    """Its fans stand still, and 55 degrees is where it stays, reached after 50 s."""
    found = room(degrees=lambda s: max(55, 80 - s / 2)).settle(cool_down={"below_c": 50, "at_most": "10m"})
    assert (found.cooled, found.steady) == (False, True)
    assert found.cool_down_s == pytest.approx(50 + STEADY_S, abs=3)


def test_waiting_ends_and_says_that_it_was_in_vain_while_the_gpu_still_cools(room):
    found = room(degrees=lambda s: 90 - s / 50).settle(cool_down={"below_c": 50, "at_most": "90s"})
    assert (found.cooled, found.steady) == (False, False)
    assert found.cool_down_s == pytest.approx(90, abs=0.2)


def test_a_temperature_that_cannot_be_read_is_not_cool(room, fake_nvml):
    here = room()
    here.sleep = lambda seconds: setattr(here, "now", here.now + seconds)
    fake_nvml.fails["temperature"] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    found = here.settle(cool_down={"below_c": 50, "at_most": "2m"})
    assert (found.cooled, found.steady) == (False, False)


def test_the_process_of_the_cell_before_may_take_a_while_to_leave(room):
    found = room(left_at=3.0).settle()
    assert found.processes == frozenset()
    assert found.cool_down_s == pytest.approx(3, abs=0.5)


def test_the_second_cell_of_a_process_neither_waits_for_its_own_context_nor_measures_idle(room):
    for own in (ThisProcess(frozenset({99}), False, True), ThisProcess(frozenset({7}), True, True)):
        found = room(left_at=1e9).settle(own=own)
        assert (found.processes, found.cool_down_s) == (frozenset(), 0)
        assert "had a CUDA context on the GPU before" in found.idle.reason


def test_a_process_that_stays_is_noted(room):
    found = room(left_at=1e9).settle()
    assert found.processes == {99}
    assert found.cool_down_s == pytest.approx(10, abs=0.2)


def test_a_process_that_comes_while_the_gpu_is_measured_is_noted(room):
    here = room()
    here._nvml.processes = []
    sleep = here.sleep
    here.sleep = lambda seconds: (sleep(seconds), setattr(here._nvml, "processes", [99] if here.now > 3 else []))
    assert here.settle(idle="5s").processes == {99}


def test_no_idle_measurement_if_none_is_asked_for(room):
    assert room().settle(idle="0s").idle == Unavailable("the suite asks for no idle measurement")
