"""What `dtcbench list --groups` says of a network."""

import re

import pytest
from renderings import on_terminal
from torch import nn

from dtcbench import registry
from dtcbench.errors import UserError
from dtcbench.registry import Entry
from dtcbench.report.groups import groups_view, model_of, parse_shape


def lines(view):
    return on_terminal(view, 120).splitlines()


def test_each_group_has_its_consumer_shapes_and_projections():
    shown = lines(groups_view(model_of("lenet-5"), (1, 28, 28)))
    row = next(line for line in shown if line.startswith("conv1"))
    cells = ("conv1", "hidden0", "simple", "16", "16×6×5×5", "120×16×25", "16 sums of 150", "16 sums of 3000")
    assert tuple(re.split(r"  +", row.strip())) == cells
    assert shown[-1].startswith("4 simple groups, 226 neurons")


def test_what_goes_only_when_it_is_asked_for_is_listed_with_its_kind():
    shown = lines(groups_view(model_of("gpt-nano"), (16,)))
    kinds = {line.split()[0]: line for line in shown if line.startswith("layers")}
    assert " simple " in kinds["layers.0.mlp.fc"]
    assert any(" coupled " in line for line in kinds.values())  # its heads
    assert any(" approximate " in line for line in shown)  # its stream, which LayerNorm normalises
    assert "approximate: normalised over it" in shown
    assert "coupled groups are compressed with the method's option groups: coupled" in shown


def test_without_an_input_the_first_typical_one_that_fits_is_taken():
    assert lines(groups_view(model_of("gpt-nano"), None))[0].strip() == "gpt-nano on 16"
    assert lines(groups_view(model_of("vgg-16"), None))[0].strip() == "vgg-16 on 3×32×32"


def test_a_model_is_named_with_its_options_as_a_suite_names_it():
    shown = lines(groups_view(model_of("{name: mlp, widths: [6, 5]}"), (1, 8, 8)))
    assert shown[0].strip() == "mlp(widths=[6,5]) on 1×8×8"
    assert shown[-1].startswith("2 simple groups, 11 neurons")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet-21", "--groups: unknown model 'resnet-21'; did you mean 'resnet-20'"),
        ("{name: mlp, width: [6]}", "--groups: width: unknown key 'width'; did you mean 'widths'"),
        ("{name: mlp", "--groups {name: mlp: not YAML ("),
        ("[mlp]", "--groups: a model is a name or a mapping with a name; got ['mlp']"),
    ],
)
def test_a_model_that_a_suite_could_not_name_is_refused(text, message):
    with pytest.raises(UserError) as caught:
        model_of(text)
    assert str(caught.value).startswith(message)


def test_an_input_that_does_not_fit_says_what_would():
    with pytest.raises(UserError, match=r"^vgg-16: images of 8×8 are too small .*smallest are 16×16"):
        groups_view(model_of("vgg-16"), (1, 8, 8))


def test_a_text_for_a_model_of_images_is_told_what_came_out():
    with pytest.raises(UserError, match=r"model mlp on texts of shape 64: forward gave .* not logits \[1, 64, 10\]"):
        groups_view(model_of("mlp"), (64,))


@pytest.mark.parametrize("text", ["", "3x", "3x32x-1", "0x3", "axb", "0", "-1", "9" * 5000, "²"])
def test_a_shape_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="write 3x32x32"):
        parse_shape(text)


@pytest.mark.parametrize("text", ["3x100000x100000", "999999999", "3x999999999x999999999"])
def test_a_sample_beyond_all_measure_is_refused_before_it_is_made(text):
    with pytest.raises(UserError, match=r"values a sample; tracing takes 1000000 at most"):
        parse_shape(text)


def test_shapes_are_read():
    assert parse_shape("3x32X32") == (3, 32, 32)
    assert parse_shape("64") == (64,)


def module(forward):
    """A model whose networks have one hidden layer and compute `forward(network, x)`."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.output = nn.Linear(64, 8), nn.Linear(8, 10)

        def forward(self, x):
            return forward(self, x)

        def logits(self, x):
            return self.output(self.hidden(x.flatten(1)).relu())

    return lambda shape, classes, *, generator: Odd()


def fails(*args, **kwargs):
    raise KeyError("two\nlines")


ODD_MODELS = {
    "raises in forward": (module(fails), "KeyError: 'two"),
    "raises when built": (fails, "KeyError: 'two"),
    "builds no network": (lambda shape, classes, *, generator: 3, "it gave a int and not a torch.nn.Module"),
    "gives nothing": (module(lambda net, x: None), "forward gave None and not logits [1, 10]"),
    "gives a pair": (module(lambda net, x: (net.logits(x), x)), "forward gave a tuple and not logits [1, 10]"),
    "gives other logits": (module(lambda net, x: net.logits(x)[:, :3]), "a tensor [1, 3] and not logits [1, 10]"),
    "runs out of memory": (module(lambda net, x: x.new_empty(2**50)), "a tensor [1125899906842624] and not logits"),
    "recurses without end": (module(lambda net, x: net(x)), "RecursionError: maximum recursion depth exceeded"),
}


@pytest.mark.parametrize(("model", "message"), ODD_MODELS.values(), ids=ODD_MODELS.keys())
def test_whatever_a_model_does_wrong_is_told_in_one_line(monkeypatch, model, message):
    monkeypatch.setitem(registry.models._entries, "odd", Entry(model))
    with pytest.raises(UserError) as caught:
        groups_view(model_of("odd"), (1, 8, 8))
    assert message in str(caught.value)
    assert str(caught.value).startswith("model odd on samples of shape 1×8×8: ")
    assert str(caught.value).endswith("or mend the model: `dtcbench selftest odd` tries it")
    assert "\n" not in str(caught.value)


def test_a_model_that_looks_at_values_is_traced_on_values(monkeypatch):
    def looped(net, x):
        while x.sum() > 0:
            x = x - 1
        return net.logits(x)

    monkeypatch.setitem(registry.models._entries, "odd", Entry(module(looped)))
    assert lines(groups_view(model_of("odd"), (1, 8, 8)))[-1].startswith("1 simple groups, 8 neurons")


SHAPES = ["1", "64", "1x1", "3x1x1", "1x8x8", "3x32x32", "1x2x3x4", "3x500x500"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", registry.models.names())
def test_every_model_shows_its_groups_or_says_why_not_whatever_the_input(model, shape):
    try:
        assert re.match(r"[1-9]\d* simple groups", lines(groups_view(model_of(model), parse_shape(shape)))[-1])
    except UserError as error:
        assert "\n" not in str(error)
        assert model in str(error)
