"""The schedule of `standard`, the cycles of `published`, and what stands in a cell of either."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dtcbench import registry
from dtcbench.plan.names import REGISTERED
from dtcbench.plan.protocol import PROTOCOLS, OfPlugin, Published, Standard, from_choice


def standard(**options) -> Standard:
    return Standard.model_validate({"name": "standard", "steps": 600, **options})


@st.composite
def protocols(draw) -> Standard:
    cycle_steps = draw(st.integers(1, 200))
    steps = draw(st.integers(2 * cycle_steps, 20_000))
    return standard(steps=steps, cycle_steps=cycle_steps, keep=draw(st.floats(0.01, 0.999)))


sparsities = st.floats(0.001, 0.999)


@given(protocols(), sparsities)
def test_the_fractions_left_fall_strictly_and_end_on_exactly_1_minus_sparsity(protocol, sparsity):
    fractions = protocol.fractions(sparsity)
    assert fractions[-1] == 1 - sparsity
    # The last compression may remove next to nothing where keep**k almost is 1 − sparsity.
    assert all(after <= before + 1e-9 for before, after in pairwise([1.0, *fractions]))
    assert all(after < before for before, after in pairwise([1.0, *fractions[:-1]]))


@given(protocols(), sparsities)
def test_the_cycles_leave_at_least_one_cycle_s_steps_for_retraining(protocol, sparsity):
    compressions = len(protocol.fractions(sparsity))
    assert 1 <= compressions <= protocol.cycles_held
    assert protocol.steps - compressions * protocol.cycle_steps >= protocol.cycle_steps


@given(protocols(), sparsities)
def test_every_compression_but_the_last_keeps_the_same_fraction_and_the_last_no_less(protocol, sparsity):
    fractions = [1.0, *protocol.fractions(sparsity)]
    kept = [after / before for before, after in pairwise(fractions)]
    assert all(math.isclose(each, protocol.ratio(sparsity)) for each in kept[:-1])
    assert kept[-1] >= protocol.ratio(sparsity) - 1e-9


@given(protocols(), sparsities)
def test_keep_is_kept_to_wherever_the_steps_hold_its_cycles_and_a_note_says_where_not(protocol, sparsity):
    needed = math.log(1 - sparsity) / math.log(protocol.keep)
    assume(abs(needed - protocol.cycles_held) > 1e-6)
    if needed < protocol.cycles_held:
        assert protocol.ratio(sparsity) == protocol.keep
        assert protocol.note(sparsity) is None
    else:
        assert protocol.ratio(sparsity) < protocol.keep
        assert f"{protocol.ratio(sparsity):.3f}" in protocol.note(sparsity)


@pytest.mark.parametrize("keep", [0.5, 0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("cycles", [1, 2, 3, 7, 10])
def test_a_sparsity_that_is_a_power_of_keep_takes_no_cycle_more_for_rounding(keep, cycles):
    protocol = standard(steps=10_000, keep=keep)
    assert len(protocol.fractions(1 - keep**cycles)) == cycles


def test_the_schedule_is_geometric_with_a_smaller_last_step():
    fractions = standard(keep=0.8).fractions(0.5)
    assert fractions == pytest.approx([0.8, 0.64, 0.512, 0.5])
    assert fractions[-1] == 0.5


def test_a_schedule_that_does_not_fit_is_made_steeper_evenly():
    protocol = standard(steps=200, cycle_steps=50)
    assert protocol.fractions(0.875) == pytest.approx([0.5, 0.25, 0.125])
    assert (
        protocol.note(0.875) == "sparsity 0.875 takes 20 cycles at keep 0.9, 200 steps hold 3: each keeps 0.500 instead"
    )


def test_sparsity_0_compresses_nothing():
    assert standard().fractions(0.0) == []
    assert standard().note(0.0) is None


def test_the_published_cycles_are_the_paper_s_34():
    assert Published(name="published").cycles(512) == 34


@pytest.mark.parametrize(("width", "cycles"), [(1, 0), (10, 0), (11, 1), (12, 1), (13, 2)])
def test_published_cycles_run_while_the_layer_is_wider_than_10(width, cycles):
    assert Published(name="published").cycles(width) == cycles


def test_the_published_defaults_are_the_paper_s_values():
    assert Published(name="published").choice.values == {
        "batch_size": 512,
        "lr": 1e-3,
        "keep": 0.9,
        "cycle_steps": 200,
        "stop_width": 10,
        "threads": 2,
    }


@pytest.mark.parametrize("protocol", [standard(lr=0.01, threads=2), Published(name="published", keep=0.8)])
def test_a_protocol_comes_back_whole_from_the_cell_that_names_it(protocol):
    assert protocol.choice.name in PROTOCOLS
    assert from_choice(protocol.choice) == protocol


def test_a_plug_in_s_protocol_comes_back_whole_from_the_cell_that_names_it_and_takes_a_block_s_keep():
    @registry.register_protocol("own", version=3)
    def own(model, steps, *, rate: float = 0.1, power: int = 2): ...

    protocol = OfPlugin.of(REGISTERED.choice("protocol", "own", {"steps": 200, "power": 3, "keep": 0.7}))
    assert from_choice(protocol.choice) == protocol
    assert protocol.choice.label == "own@3(keep=0.7, power=3, steps=200)"
    at_default = protocol.model_copy(update={"keep": 0.9}).choice
    assert at_default.label == "own@3(power=3, steps=200)"
    assert at_default == REGISTERED.choice("protocol", "own", {"steps": 200, "power": 3})
    assert protocol.fractions(0.5) == standard(steps=200, keep=0.7).fractions(0.5)


def test_an_option_of_a_plug_in_s_protocol_does_not_hide_one_that_every_protocol_has():
    def own(model, steps, *, keep: float = 0.5): ...

    with pytest.raises(registry.PluginError, match="option keep every protocol has; give it another name"):
        registry.register_protocol("own")(own)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_plug_in_takes_the_name_of_a_protocol_of_dtcbench(name):
    with pytest.raises(registry.PluginError, match=f"protocol '{name}' is both dtcbench's own and .*another name"):
        registry.register_protocol(name)(lambda model, steps: None)
    assert set(PROTOCOLS) == set(registry.OWN_PROTOCOLS)
