"""Parameters, inputs and outputs of every network."""

import pytest
import torch
from cells import OWN_MODELS
from torch import nn

from dtcbench.errors import UserError
from dtcbench.training.flops import inference_flops


@pytest.mark.parametrize(
    ("name", "shape", "options", "count"),
    [
        ("lenet-300-100", (1, 28, 28), {}, 266_610),
        ("lenet-5", (1, 28, 28), {}, 61_706),
        ("lenet-5", (1, 28, 28), {"channels": [20, 50], "widths": [500], "padding": 0}, 431_080),  # Caffe's
        ("resnet-20", (3, 32, 32), {}, 269_722),
        ("resnet-56", (3, 32, 32), {}, 853_018),
        ("vgg-16", (3, 32, 32), {}, 14_724_042),
        ("vit-tiny", (3, 32, 32), {}, 5_362_378),
        # nanoGPT's 10.65 M, which leave out the positions and share the output's weights with the tokens'.
        ("gpt-nano", (256,), {}, 10_646_784 + 256 * 384 + 65 * 384),
    ],
)
def test_as_many_parameters_as_in_the_literature(build, name, shape, options, count):
    model = build(name, shape, 65 if len(shape) == 1 else 10, **options)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(
    ("name", "multiplications"),
    [("resnet-20", 4.06e7), ("resnet-56", 1.25e8), ("vgg-16", 3.13e8)],  # the latter two: Li et al. 2017, Table 1
)
def test_as_many_flops_as_in_the_literature(build, name, multiplications):
    counted = inference_flops(build(name, (3, 32, 32)), torch.zeros(1, 3, 32, 32))
    assert counted == pytest.approx(2 * multiplications, rel=0.005)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("lenet-300-100", (3, 9, 7), {}),
        ("lenet-5", (1, 12, 12), {}),
        ("lenet-5", (1, 8, 8), {"padding": 4}),
        ("lenet-5", (3, 32, 32), {"padding": 0, "channels": (2, 3), "widths": (5,)}),
        ("resnet-20", (1, 8, 8), {"width": 2}),
        ("resnet-20", (1, 29, 30), {"width": 2}),
        ("resnet-56", (1, 7, 5), {"width": 2}),
        ("vgg-16", (1, 28, 28), {"width": 2}),
        ("vgg-16", (1, 16, 33), {"width": 2}),
        ("vit-tiny", (1, 28, 28), {"width": 8, "depth": 1, "heads": 2}),
        ("vit-tiny", (1, 8, 8), {"patch": 2, "width": 8, "depth": 1, "heads": 2}),
    ],
)
def test_images_of_other_sizes_give_a_logit_per_class(build, name, shape, options):
    assert build(name, shape, 7, **options)(torch.rand(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        (
            "lenet-5",
            (1, 8, 8),
            {},
            "lenet-5: images of 8×8 are too small for padding 2; the smallest are 12×12; set padding to 4",
        ),
        ("vgg-16", (1, 8, 8), {}, "vgg-16: images of 8×8 are too small for four poolings; the smallest are 16×16"),
        ("vit-tiny", (1, 28, 28), {"patch": 8}, "vit-tiny: images of 28×28 .* set patch to one of 1, 2, 4, 7, 14, 28$"),
        ("vit-tiny", (1, 8, 8), {"width": 8, "heads": 3}, "vit-tiny: width 8 .* 3 heads; make it a multiple of 3"),
        ("gpt-nano", (8,), {"width": 8, "heads": 3}, "gpt-nano: width 8 .* 3 heads; make it a multiple of 3"),
        ("gpt-nano", (3, 32, 32), {}, r"gpt-nano takes texts \[T\], not samples of shape \[3, 32, 32\]; choose"),
    ],
)
def test_an_input_that_cannot_work_is_refused_with_the_remedy(build, name, shape, options, message):
    with pytest.raises(UserError, match=message):
        build(name, shape, **options)


@pytest.mark.parametrize("name", sorted(set(OWN_MODELS) - {"mlp", "gpt-nano"}))
def test_a_model_of_images_refuses_texts(build, name):
    with pytest.raises(UserError, match=rf"{name} takes images .* not samples of shape \[16\]; choose"):
        build(name, (16,))


def test_a_shortcut_takes_every_second_pixel_and_adds_channels_of_zeros(build):
    model, x = build("resnet-20", (3, 9, 8), width=2), torch.rand(1, 2, 9, 8)
    block = model.block4
    nn.init.zeros_(block.bn2.weight)
    out = block(x)
    assert torch.equal(out[:, :2], x[:, :, ::2, ::2])
    assert out.shape == (1, 4, 5, 4)
    assert (out[:, 2:] == 0).all()
