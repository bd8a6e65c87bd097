"""The claims about models hold for ours, and can fail."""

import re

import pytest
import torch
from torch import nn

from dtcbench import registry
from dtcbench.errors import UserError
from dtcbench.models.packages import Package
from dtcbench.models.shapes import fixed
from dtcbench.selftest.checking import Contradicted
from dtcbench.selftest.model_checks import checks

DRAWN = "equal generators give equal weights, others give others"


def contradicted(make):
    """{claim: message} of the claims that the model does not keep."""
    registry.models.register("bad")(make)
    messages = {}
    for check in checks("bad"):
        try:
            check.run()
        except Contradicted as contradiction:
            messages[check.claim] = str(contradiction)
    return messages


def linear(generator, fan_in, fan_out):
    layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    return layer


def good(input_shape, num_classes, *, generator):
    return nn.Sequential(nn.Flatten(), linear(generator, 3072, 8), nn.ReLU(), linear(generator, 8, num_classes))


@pytest.mark.parametrize("name", registry.models.names())
def test_our_models_keep_every_claim(name):
    for check in checks(name):
        if check.waived:
            pytest.skip(check.waived)
        check.run()


def test_a_model_whose_library_is_not_installed_makes_no_claims(monkeypatch):
    def foreign(input_shape, num_classes, *, generator):
        raise AssertionError("not to be built")

    foreign.package = Package("no_such_library", {})
    registry.models.register("bad")(foreign)
    assert {check.waived for check in checks("bad")} == {Package("no_such_library", {}).missing}


def test_the_good_model_that_the_bad_ones_vary_is_good():
    assert contradicted(good) == {}


def test_weights_from_the_global_generator():
    def make(input_shape, num_classes, *, generator):
        return nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes))

    messages = contradicted(make)
    assert "another generator gave the same weights" in messages[DRAWN]
    assert "torch's global generator changed 1.weight" in messages["its generator alone decides the weights"]


def test_weights_that_depend_on_what_was_built_before():
    built = []

    def make(input_shape, num_classes, *, generator):
        model = good(input_shape, num_classes, generator=generator)
        built.append(nn.init.constant_(model[1].bias, len(built)))
        return model

    messages = contradicted(make)
    assert "the same generator gave other values of 1.bias" in messages[DRAWN]


def test_constructing_layers_from_the_global_generator_is_no_fault_if_they_are_drawn_again():
    def make(input_shape, num_classes, *, generator):
        model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.ReLU(), nn.Linear(8, num_classes))
        for parameter in model.parameters():
            nn.init.normal_(parameter, generator=generator)
        return model

    assert contradicted(make) == {}


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.offset = 0.0


def wrapped(forward, classes=10):
    def make(input_shape, num_classes, *, generator):
        return type("Bad", (Wrapped,), {"forward": forward})(good(input_shape, classes, generator=generator))

    return make


def remembering(self, x):
    if self.training:
        self.offset = 1e3
    return self.inner(x) + self.offset


@pytest.mark.parametrize(
    ("make", "claim", "message"),
    [
        (
            wrapped(lambda self, x: self.inner(x), classes=9),
            "the logits are finite and one for each class",
            r"a batch \[4, 3, 32, 32\] gave logits \[4, 9\], not \[4, 10\]",
        ),
        (
            wrapped(lambda self, x: self.inner(x) / 0),
            "the logits are finite and one for each class",
            "NaN or infinite logits",
        ),
        (
            wrapped(lambda self, x: self.inner(x).detach() + 0 * self.inner[3].bias),
            "a gradient reaches every trainable parameter",
            "no finite gradient reached inner.1.weight",
        ),
        (
            wrapped(lambda self, x: self.inner(x) - self.inner(x).mean(0)),
            "a sample's logits do not depend on the rest of its batch in eval mode",
            "alone, a sample's logits differ by up to",
        ),
        (wrapped(remembering), "a copy by state_dict computes the same", "the copy gave other logits"),
        (
            wrapped(lambda self, x: x.flatten(1)[:, :10] * self.inner[3].weight[:, 0] + self.inner[3].bias),
            "its FLOPs can be counted",
            "torch counted no FLOPs",
        ),
    ],
    ids=["classes", "infinite", "gradient", "batch", "state", "flops"],
)
def test_a_model_that_breaks_one_claim_is_told_so(make, claim, message):
    messages = contradicted(make)
    assert claim in messages
    assert re.search(message, messages[claim])


def test_a_model_of_texts_is_tried_on_texts():
    seen = []

    def make(input_shape, num_classes, *, generator):
        if len(input_shape) != 1:
            raise UserError("takes texts")
        seen.append(input_shape)
        tokens = nn.utils.skip_init(nn.Embedding, num_classes, 4)
        nn.init.normal_(tokens.weight, generator=generator)
        return nn.Sequential(tokens, linear(generator, 4, 8), nn.ReLU(), linear(generator, 8, num_classes))

    assert contradicted(make) == {}
    assert set(seen) == {(16,)}


def test_a_model_that_takes_no_input_is_told_which_were_tried():
    def make(input_shape, num_classes, *, generator):
        raise UserError("only videos")

    messages = contradicted(make)
    assert len(messages) == len(checks("bad"))
    assert all(
        r"[3, 32, 32]: only videos" in message and "[16]: only videos" in message for message in messages.values()
    )


def test_the_global_generator_is_left_as_it_was():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    for check in checks("mlp"):
        check.run()
    assert torch.equal(torch.get_rng_state(), state)


class Odd(nn.Module):
    """Divides by its own width, so that a smaller one is another network."""

    def __init__(self, generator, num_classes):
        super().__init__()
        self.flatten, self.wide, self.out = nn.Flatten(), linear(generator, 3072, 8), linear(generator, 8, num_classes)

    def forward(self, x):
        return self.out(torch.relu(self.wide(self.flatten(x)))) / self.out.in_features


def test_a_network_that_knows_its_width_is_found_out():
    messages = contradicted(lambda input_shape, num_classes, *, generator: Odd(generator, num_classes))
    (claim,) = (claim for claim in messages if "silenced" in claim)
    assert "no prunable group; group wide: cut smaller, it computes something else" in messages[claim]


def test_a_network_without_a_group_or_with_a_parameter_of_its_own_is_told_so():
    class Bare(nn.Module):
        def __init__(self, generator, num_classes):
            super().__init__()
            self.inner = nn.Sequential(nn.Flatten(), linear(generator, 3072, num_classes))
            self.shift = nn.Parameter(torch.zeros(num_classes))

        def forward(self, x):
            return self.inner(x) + self.shift

    messages = contradicted(lambda input_shape, num_classes, *, generator: Bare(generator, num_classes))
    assert "no prunable group" in messages["a group cut smaller computes what it did with the neurons silenced"]
    assert "parameter shift is drawn by no module" in messages["all its parameters can be drawn anew"]


def test_a_model_for_one_input_is_tried_on_that():
    @fixed(input_shape=(2, 5, 7))
    def make(input_shape, num_classes, *, generator):
        if input_shape != (2, 5, 7):
            raise UserError("other inputs than 2×5×7 are not for it")
        return nn.Sequential(nn.Flatten(), linear(generator, 70, 8), nn.ReLU(), linear(generator, 8, num_classes))

    assert contradicted(make) == {}


def test_a_model_with_fixed_weights_is_not_asked_to_draw_any():
    def make(input_shape, num_classes, *, generator):
        given = torch.Generator().manual_seed(7)
        model = nn.Sequential(nn.Flatten(), linear(given, 3072, 8), nn.ReLU(), linear(given, 8, num_classes))
        model.token = nn.Parameter(torch.zeros(1))  # no module draws it
        model.register_forward_hook(lambda module, inputs, logits: logits + 0 * module.token)
        return model

    against = {DRAWN, "all its parameters can be drawn anew"}
    assert contradicted(make).keys() == against
    fixed(weights=True)(make)
    assert {check.claim: check.waived for check in checks("bad") if check.waived} == dict.fromkeys(
        against, "its weights are fixed"
    )
