import threading

from dtcbench.pulse import pulse


def test_a_pulse_beats_at_once_and_again_and_again_until_its_context_ends():
    beats, third, before = [], threading.Event(), threading.active_count()

    def beat():
        beats.append(threading.current_thread())
        if len(beats) == 3:
            third.set()

    with pulse(beat, 0.01):
        assert beats[0] is threading.current_thread()
        assert third.wait(10)
    assert threading.active_count() == before
