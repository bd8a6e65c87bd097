"""A cell's final network in a file: rebuilt from it alone, the same; and whatever does not fit is refused by name."""

import hashlib
import json
import struct

import numpy as np
import pytest
import safetensors.torch
import torch
from cells import cell, context, published_cell
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from dtcbench import registry
from dtcbench.hits import packed
from dtcbench.registry import Entry
from dtcbench.training import network_file, tensors
from dtcbench.training.loop import predicted
from dtcbench.training.network_file import NetworkFile, most_bytes
from dtcbench.training.protocols import trained


def kept(the_cell):
    """The cell's result, its network, and the network's file."""
    work = context(the_cell)
    result, compressor = trained(work)
    file = NetworkFile.of(the_cell, work.splits.input_shape, work.splits.num_classes, compressor)
    return result, compressor.model, file.content()


@pytest.fixture(scope="module")
def trained_by_dtc():
    return kept(cell("dtc"))


@pytest.fixture(scope="module")
def content(trained_by_dtc):
    return trained_by_dtc[2]


def same(one: nn.Module, other: nn.Module, work) -> bool:
    with torch.no_grad():
        return torch.equal(one.eval()(work.test.x), other.eval()(work.test.x))


@pytest.mark.parametrize(
    "the_cell",
    [
        cell("dtc"),
        cell("dense", 0.0),
        cell("scratch"),
        published_cell("random-published", "digits", (40,), cycle_steps=2, stop_width=30, batch_size=256),
    ],
    ids=["dtc", "dense", "scratch", "another order of neurons"],
)
def test_the_network_comes_back_bit_for_bit(the_cell):
    result, model, content = kept(the_cell)
    file = NetworkFile.read(content)
    assert file.origin.cell == the_cell and file.origin.cell.key == the_cell.key
    assert {name: len(indices) for name, indices in file.kept.items()} == result.widths
    assert same(file.network(), model, context(the_cell))


def test_the_evaluation_of_the_rebuilt_network_is_the_recorded_one(trained_by_dtc):
    result, _, content = trained_by_dtc
    right = predicted(NetworkFile.read(content).network(), context(cell("dtc")).test)
    assert packed(right) == result.hits


def test_the_same_network_gives_the_same_bytes_and_no_code(trained_by_dtc):
    assert kept(cell("dtc"))[2] == trained_by_dtc[2]
    assert b"pickle" not in trained_by_dtc[2]


def test_any_reader_of_the_format_finds_the_weights_by_their_own_names(trained_by_dtc):
    _, model, content = trained_by_dtc
    found = safetensors.torch.load(content)
    for name, tensor in model.state_dict().items():
        assert torch.equal(found[name], tensor)
    assert all(name.startswith("kept/") for name in found.keys() - model.state_dict().keys())


def test_the_size_in_the_plan_bounds_the_file(content):
    the_cell = cell("dense", 0.0)
    dense = kept(the_cell)[2]
    most = most_bytes(the_cell)
    header = 8 + struct.unpack("<Q", dense[:8])[0]
    assert len(dense) <= most <= len(dense) - header + 5000
    assert len(content) < len(dense)


# what does not fit


def rewritten(content, edit):
    """The file with other tensors or another origin, made as who knows the format makes it."""
    metadata = tensors.read(content)[1]
    found = safetensors.torch.load(content)
    origin = json.loads(metadata["dtcbench"])
    edit(found, origin)
    return safetensors.torch.save(found, {"dtcbench": json.dumps(origin)})


def first_weight(found):
    return min(name for name in found if name.endswith("weight"))


def first_kept(found):
    return next(name for name in found if name.startswith("kept/"))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda t, o: t.update({first_weight(t): t[first_weight(t)][:-1].clone()}),
            r"shape \[15, 64\] found, \[16, 64\]",
        ),
        (lambda t, o: t.update({first_weight(t): t[first_weight(t)].double()}), "float64 found, float32 wanted"),
        (lambda t, o: t.pop(first_weight(t)), "none of this name found, one of shape"),
        (lambda t, o: t.update(more=torch.zeros(1)), "tensor more: the network has none of this name"),
        (lambda t, o: t.update({first_kept(t): t[first_kept(t)].float()}), r"torch.float32 \[16\] found, int64 \[k\]"),
        (lambda t, o: t.update({first_kept(t): t[first_kept(t)] + 10**6}), "neurons 1000"),
        (lambda t, o: t.update({first_kept(t): t[first_kept(t)][:1].repeat(16)}), "16 neurons, 1 of them different"),
        (lambda t, o: t.update({first_kept(t): t[first_kept(t)][:0]}), "0 of 32 neurons"),
        (lambda t, o: t.pop(first_kept(t)), "nothing says which neurons are left"),
        (lambda t, o: t.update({"kept/x": t[first_kept(t)].clone()}), "group x: the network has none of this name"),
        (lambda t, o: o.update(classes=9), r"tensor .*: shape \[10(, 16)?\] found, \[9(, 16)?\] wanted"),
        (lambda t, o: o.update(shape=[1, 4, 4]), r"shape \[16, 64\] found, \[16, 16\] wanted"),
        (lambda t, o: o.update(shape=[1, 2**12, 2**12]), "more numbers than"),
        (lambda t, o: o.update(shape=[]), "nothing in it says which network"),
        (lambda t, o: o["cell"]["model"].update(name="resnet-20", options={}, defaults={}), r"group \S+: "),
        (lambda t, o: o["cell"]["model"].update(name="no-such"), "unknown model 'no-such'"),
        (lambda t, o: o["cell"]["model"]["options"].update(widths=[2**30]), "more than 4294967296"),
        (lambda t, o: o["cell"]["model"]["options"].update(widths=[2**21]), "2097152 wide, more than 1048576"),
        (lambda t, o: o.pop("cell"), "nothing in it says which network"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(content, edit, words):
    with pytest.raises(ValueError, match=words):
        NetworkFile.read(rewritten(content, edit)).network()


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (lambda c: b"", "truncated"),
        (lambda c: c[:7], "truncated"),
        (lambda c: c[:100], "truncated"),
        (lambda c: c[:-1], "not a safetensors file"),
        (lambda c: c + b"\0", "not a safetensors file"),
        (lambda c: struct.pack("<Q", 2**62) + c[8:], "truncated: a header of 4611686018427387904 bytes"),
        (lambda c: struct.pack("<Q", 2**24 + 1) + bytes(2**24 + 1), "a header of 16777217 bytes, more than the"),
        (lambda c: struct.pack("<Q", 10) + b"[" * 10, "its header is not JSON"),
        (lambda c: struct.pack("<Q", 10**6) + b"[" * 10**6, "its header is not JSON"),
        (lambda c: struct.pack("<Q", 2) + b"[]", "its header is not a mapping"),
        (lambda c: struct.pack("<Q", 20) + b'{"__metadata__":[7]}', "its header is not a mapping"),
        (lambda c: b"\x80\x04." + c, "truncated"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_reason(content, damaged, words):
    with pytest.raises(ValueError, match=words):
        NetworkFile.read(damaged(content))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_changed_byte_ends_in_a_refusal_or_in_a_network(content, data):
    changed = bytearray(content)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    changed[data.draw(st.integers(0, header - 1))] ^= data.draw(st.integers(1, 255))
    try:
        network = NetworkFile.read(bytes(changed)).network()
    except ValueError as error:
        assert str(error)
    else:
        assert isinstance(network, nn.Module)


class Tied(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 10, bias=False), nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 10))
        self.again = self[1].weight


def test_tied_weights_are_kept_and_come_back_tied():
    one, other = Tied(), Tied()
    given = tensors.read(tensors.written(one.state_dict(), {}))[0]
    tensors.load_into(other, given)
    del given["again"]  # as other writers leave it out
    third = Tied()
    tensors.load_into(third, given)
    for network in (other, third):
        assert network.again is network[1].weight and torch.equal(network.again, one.again)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_two_values_for_one_tied_tensor_are_refused_by_both_names(device):
    given = tensors.read(tensors.written(Tied().state_dict(), {}))[0]
    given["again"][0, 0] += 1
    with torch.device(device), pytest.raises(ValueError, match=r"again and 1\.weight: two values .* ties them") as told:
        tensors.load_into(Tied(), given)
    assert "tie_word_embeddings: false" in str(told.value)


def test_the_kept_neurons_are_those_that_the_record_seals(trained_by_dtc, content):
    result, _, _ = trained_by_dtc
    last = {layer.group: layer.kept_sha256 for cycle in result.cycles for layer in cycle.layers}
    for name, indices in NetworkFile.read(content).kept.items():
        assert hashlib.sha256(np.asarray(indices, "<i8").tobytes()).hexdigest() == last[name]


def test_no_network_is_built_in_full_before_its_size_is_known(content, monkeypatch):
    monkeypatch.setattr(network_file, "MOST_BYTES", 1000)
    monkeypatch.setattr(network_file, "Surgery", lambda *_: pytest.fail("built"))
    with pytest.raises(ValueError, match="before its compression the network takes 9640 bytes, more than 1000"):
        NetworkFile.read(content).network()


def test_what_a_model_raises_is_its_own(content, monkeypatch):
    def raises(*_, widths=None, bias=None, **__):
        raise TypeError("oops")

    monkeypatch.setitem(registry.models._entries, "mlp", Entry(raises))
    with pytest.raises(ValueError, match="model mlp"):
        NetworkFile.read(content).network()
