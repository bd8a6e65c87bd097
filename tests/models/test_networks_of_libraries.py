"""What dtcbench does to the networks of other libraries, seen on a network that is made as theirs are."""

import copy
import importlib
import subprocess
import sys

import pytest
import torch
from torch import nn

from dtcbench.errors import UserError
from dtcbench.models.packages import (
    Package,
    constructed,
    fit_images,
    give_logits,
    refuse_arguments,
    refuse_unknown,
)
from dtcbench.registry import models
from dtcbench.training.network import draw_anew
from dtcbench.validation import MisfitError


class Foreign(nn.Module):
    """Draws from torch's global generator, in its constructor and by a rule of its own; has a bare parameter."""

    def __init__(self, classes=3):
        super().__init__()
        self.token = nn.Parameter(torch.randn(8))
        self.inner, self.output = nn.Linear(4, 8), nn.Linear(8, classes)
        nn.init.normal_(self.inner.weight, std=100)

    def forward(self, x):
        return self.output(self.inner(x) + self.token)


def seeded(seed):
    return constructed(Foreign, torch.Generator().manual_seed(seed))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_generator_alone_decides_the_weights_and_the_global_one_is_left_as_it_was():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = seeded(5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(seeded(5), first)
    assert not same(seeded(6), first)


def test_on_the_meta_device_a_network_has_shapes_alone():
    with torch.device("meta"):
        network = constructed(Foreign, torch.Generator("cpu").manual_seed(0))
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}


def test_drawn_anew_a_network_is_what_the_library_constructs():
    network = seeded(5)
    network.reset_parameters(torch.Generator().manual_seed(6))
    assert same(network, seeded(6))


def test_drawn_anew_a_smaller_network_has_the_library_s_rule_at_the_original_widths():
    network, whole = seeded(5), seeded(6)
    network.token = nn.Parameter(network.token.detach()[:2])
    network.inner.weight = nn.Parameter(network.inner.weight.detach()[:2])
    network.reset_parameters(torch.Generator().manual_seed(6))
    assert torch.equal(network.token, whole.token[:2])
    assert torch.equal(network.inner.weight, whole.inner.weight[:2])
    assert torch.equal(network.output.weight, whole.output.weight)


def test_scratch_draws_parameters_of_no_layer_too_and_a_copy_draws_itself():
    network = seeded(5)
    copied, before = copy.deepcopy(network), copy.deepcopy(network.state_dict())
    draw_anew(copied, seed=0)
    assert not torch.equal(copied.token, network.token)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_images_are_brought_to_a_size_and_grey_ones_repeated():
    seen = []
    network = nn.Flatten()
    fit_images(network, size=4, repeats=3)
    network.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    grey = torch.rand(2, 1, 8, 8)
    network(grey)
    (images,) = seen
    assert images.shape == (2, 3, 4, 4)
    assert torch.equal(images[:, 0], images[:, 2])
    torch.testing.assert_close(images.mean((1, 2, 3)), grey.mean((1, 2, 3)), rtol=0.1, atol=0)
    assert torch.equal(copy.deepcopy(network)(grey), images.flatten(1))


def test_images_that_fit_are_left_alone():
    network = nn.Flatten()
    fit_images(network, size=0)
    assert not network._forward_pre_hooks


def test_an_output_object_becomes_its_logits():
    class Output:
        logits = torch.ones(1, 3)

    class Giving(nn.Module):
        def forward(self, x):
            return Output() if self.training else x

    network = Giving()
    give_logits(network)
    assert network(torch.zeros(1, 2)) is Output.logits
    assert torch.equal(network.eval()(torch.zeros(1, 2)), torch.zeros(1, 2))


def test_a_library_that_is_not_there_is_named_with_what_installs_it():
    library = Package("no_such_library", {})
    assert library.missing == "no_such_library is not installed; pip install 'dtcbench[no_such_library]'"
    with pytest.raises(UserError, match=r"^model no_such_library: no_such_library is not installed; pip install"):
        library.module()


def test_a_library_that_fails_to_import_is_told_apart_from_a_missing_one(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=r"cannot be imported \(operator torchvision::nms does not exist\); install"):
        Package("broken_library", {}).module()


def test_no_library_is_imported_before_its_network_is_built():
    code = "import sys; from dtcbench.registry import models; models.names(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torchvision", "timm", "transformers"} <= set(models.names())
    assert not {"torchvision", "timm", "transformers"} & set(loaded)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("", "model m: which architecture"),
        ("resnet81", "unknown architecture 'resnet81'; did you mean 'resnet18'"),
        ("xyz", "unknown architecture 'xyz'; it has 2, such as resnet18"),
    ],
)
def test_an_architecture_that_the_library_lacks_is_refused_with_near_names(architecture, message):
    with pytest.raises(UserError, match=message):
        refuse_unknown("m", architecture, ["resnet18", "vgg11"])


def test_an_argument_that_would_load_weights_is_refused():
    with pytest.raises(UserError, match="model m: argument weights is not the suite's to give; remove it"):
        refuse_arguments("m", {"weights": "DEFAULT", "depth": 2}, ("progress",))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"_attn_implementation": "sdpa"}, "_attn_implementation"),
        ({"text_config": {"attn_implementation": "sdpa"}}, "text_config.attn_implementation"),
        ({"attribute_map": {"a": "_attn_implementation"}}, "attribute_map"),
        ({"model_args": {"checkpoint_path": "x"}}, "model_args.checkpoint_path"),
        ({"parts": [{"pretrained_cfg": {}}]}, "parts.pretrained_cfg"),
        ({"name_or_path": "x"}, "name_or_path"),
        (
            {"vision_config": {"architecture": "hf-hub:timm/resnet18"}},
            "vision_config.architecture 'hf-hub:timm/resnet18'",
        ),
        ({"architecture": "local-dir:x"}, "architecture 'local-dir:x'"),
        ({"kernel": "kernels-community/flash-attn2"}, "kernel 'kernels-community/flash-attn2'"),
    ],
)
def test_an_argument_that_leads_elsewhere_is_refused_at_any_depth(arguments, named):
    with pytest.raises(UserError, match=f"^model m: argument {named} is not the suite's to give"):
        refuse_arguments("m", arguments, ())


def test_arguments_that_only_look_alike_are_taken():
    fields = {"pretrained_window_sizes": [0, 0], "pretraining_tp": 1, "drop_path_rate": 0.1, "hidden_act": "gelu"}
    refuse_arguments("m", {**fields, "_remove_final_layer_norm": False, "weight_init": ""}, ())


@pytest.mark.parametrize("size", [-1, 1025])
def test_a_side_of_images_has_bounds(size):
    with pytest.raises(MisfitError, match="size"):
        models.bind("timm", {"architecture": "resnet18", "size": size})
