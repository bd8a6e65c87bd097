"""A network taken home computes what it computed here, for any number of samples."""

import io

import pytest
import safetensors.torch
import torch
from cells import choice
from torch import nn

from dtcbench import registry
from dtcbench.errors import UserError
from dtcbench.training.export import ending_of, exported
from dtcbench.training.network import build

MODELS = [
    ("mlp", {"widths": [16]}, (1, 8, 8)),
    ("lenet-5", {}, (1, 16, 16)),
    ("resnet-20", {}, (3, 32, 32)),
    ("vit-tiny", {}, (3, 32, 32)),
    ("gpt-nano", {"width": 8, "depth": 1, "heads": 2}, (12,)),
]


def network(name, options, shape):
    return build(choice(registry.models, name, **options), shape, 10, torch.Generator().manual_seed(1)).eval()


@pytest.mark.parametrize(("name", "options", "shape"), MODELS, ids=[name for name, *_ in MODELS])
def test_a_program_gives_the_same_bits_for_any_batch(name, options, shape):
    model = network(name, options, shape)
    program = torch.export.load(io.BytesIO(exported(model, shape, ".pt2"))).module()
    for count in (1, 2, 5):
        x = torch.randint(10, (count, *shape)) if len(shape) == 1 else torch.randn(count, *shape)
        with torch.no_grad():
            assert torch.equal(program(x), model(x))


def test_the_state_dict_goes_into_a_network_of_its_shape():
    model = network(*MODELS[0])
    found = safetensors.torch.load(exported(model, MODELS[0][2], ".safetensors"))
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in model.state_dict().items())


def test_a_program_with_other_answers_is_refused():
    class Dice(nn.Module):
        def forward(self, x):
            return x.flatten(1) * torch.rand(1)

    with pytest.raises(UserError, match=r"other answers than the network's; export .safetensors"):
        exported(Dice(), (1, 2, 2), ".pt2")


def test_what_torch_cannot_trace_is_told_in_one_line():
    class Looking(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum().item() > 0 else x

    with pytest.raises(UserError, match=r"torch.export cannot export this network: \w+: .*; export .safetensors"):
        exported(Looking(), (1, 2, 2), ".pt2")


def test_onnx_without_its_packages_is_refused_by_their_names(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx and onnxscript: pip install 'dtcbench\[onnx\]'"):
        exported(network(*MODELS[0]), MODELS[0][2], ".onnx")


def test_onnx_has_the_network_s_weights():
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    model = network(*MODELS[0])
    read = onnx.load_from_string(exported(model, MODELS[0][2], ".onnx"))
    onnx.checker.check_model(read)
    held = [onnx.numpy_helper.to_array(tensor) for tensor in read.graph.initializer]
    assert any(weight.shape == (16, 64) and (weight == model.hidden0.weight.detach().numpy()).all() for weight in held)


def test_an_unknown_ending_lists_those_that_are_known():
    with pytest.raises(UserError, match=r"--to model.pt: unknown ending '.pt'; did you mean '.pt2'"):
        ending_of("model.pt")
