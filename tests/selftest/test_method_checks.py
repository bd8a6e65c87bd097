"""The claims about methods hold for ours, and can fail."""

import numpy as np
import pytest

from dtcbench import registry
from dtcbench.dtc.selection import Method, Scores
from dtcbench.selftest.checking import Contradicted
from dtcbench.selftest.method_checks import checks


@pytest.mark.parametrize("name", registry.methods.names())
def test_our_methods_keep_every_claim(name):
    for check in checks(name):
        if not check.waived:
            check.run()


class Good(Method):
    """Keeps the strongest."""

    drop = "smallest"

    def scores(self, group):
        return Scores(np.abs(group.w_in).reshape(group.width, -1).sum(axis=1))


class OneScoreTooFew(Good):
    def scores(self, group):
        return Scores(super().scores(group).values[1:])


class Infinite(Good):
    def scores(self, group):
        return Scores(super().scores(group).values / 0.0)


class OneNeuronTooMany(Good):
    def select(self, scores, group):
        return np.append(super().select(scores, group), group.width - 1)


class Unordered(Good):
    def select(self, scores, group):
        return super().select(scores, group)[::-1]


class KeepsTies(Good):
    def select(self, scores, group):
        threshold = np.sort(scores.values)[-group.target.count]
        return np.flatnonzero(scores.values >= threshold)


class GlobalNumbers(Good):
    def scores(self, group):
        return Scores(np.random.default_rng().random(group.width))


class Writing(Good):
    def scores(self, group):
        group.w_in[:] = 0
        return super().scores(group)


class OnTheDevice(Good):
    """Right, and wrong where the weights are tensors."""

    on = "device"

    def scores(self, group):
        strongest = abs(group.w_in).reshape(group.width, -1).sum(axis=1)
        return Scores(strongest if isinstance(group.w_in, np.ndarray) else -strongest.numpy())


class BlindOnTheDevice(Good):
    on = "device"


class DropsTheOtherEnd(Good):
    drop = "largest"

    def select(self, scores, group):
        return np.sort(np.argsort(scores.values)[-group.target.count :])


class SaysNothing(Good):
    drop = "weakest"

    def select(self, scores, group):
        return np.sort(np.argsort(scores.values)[: group.target.count])


class KeepsAFourth(Good):
    def select(self, scores, group):
        count = max(group.target.count, group.width // 4)
        return np.sort(np.argsort(scores.values)[-count:])


class SaysWhen(Good):
    when = "cycles"


class GoesAnyhow(Good):
    removal = "cycles"


BROKEN = {
    OneScoreTooFew: "one finite score for each neuron",
    Infinite: "one finite score for each neuron",
    OneNeuronTooMany: "exactly the count",
    Unordered: "ascending order",
    KeepsTies: "equal scores do not remove more",
    GlobalNumbers: "equal generators",
    Writing: "only looked at",
    OnTheDevice: "in a GPU's memory",
    BlindOnTheDevice: "in a GPU's memory",
    DropsTheOtherEnd: "which end of the scores",
    SaysNothing: "which end of the scores",
    KeepsAFourth: "nine in ten go at once",
    SaysWhen: "leaves it to the cell when",
    GoesAnyhow: "whether its scores choose",
}


def contradicted(method):
    """The claims that the method does not keep."""
    registry.methods.register("tried")(method)
    found = []
    for check in checks("tried"):
        if check.waived:
            continue
        try:
            check.run()
        except (Contradicted, ValueError, TypeError):
            found.append(check.claim)
    return found


def test_a_good_method_is_contradicted_nowhere():
    assert contradicted(Good) == []


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("method", BROKEN, ids=lambda method: method.__name__)
def test_a_broken_method_is_contradicted_where_it_is_broken(method):
    assert any(BROKEN[method] in claim for claim in contradicted(method))
