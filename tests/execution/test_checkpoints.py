"""A model that starts from a checkpoint: pinned by its content when it is planned, checked where a cell runs."""

import json
import shutil

import pytest
import safetensors.torch
import torch
from cells import choice
from suites_for_tests import TINY, edited

import dtcbench as library
from dtcbench import registry
from dtcbench.errors import UserError
from dtcbench.execution.suite_run import read_suite
from dtcbench.plan.cell import Choice
from dtcbench.plan.document import SuiteError
from dtcbench.records.location import StoreError
from dtcbench.training.network import build
from dtcbench.training.network_file import NetworkFile

PLAIN = edited(TINY, ("[dtc, magnitude]", "[magnitude]"), ("    solvers: [lars]\n", ""))


def suite(line, text=PLAIN):
    return edited(text, ("{name: mlp, widths: [16]}", f"{{name: mlp, widths: [16], {line}}}"))


def network(widths=(16,), seed=5):
    return build(
        choice(registry.models, "mlp", widths=list(widths)), (1, 8, 8), 10, torch.Generator().manual_seed(seed)
    )


def save(path, tensors, **metadata):
    safetensors.torch.save_file(dict(tensors), path, metadata or None)


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty cache, and the current folder with nets/start.safetensors."""
    monkeypatch.setenv("DTCBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("DTCBENCH_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    save(tmp_path / "nets/start.safetensors", network().state_dict())
    return tmp_path


def keys(text):
    return [cell.key for cell in read_suite(text, None)[1].cells]


def test_the_digest_is_in_the_cell_and_the_folder_is_not():
    _, plan = read_suite(suite("weights: nets/start.safetensors"), None)
    [options] = {json.dumps(cell.model.options, sort_keys=True) for cell in plan.cells}
    digest = json.loads(options)["weights_sha256"]
    assert len(digest) == 64
    assert json.loads(options) == {"widths": [16], "weights": "start.safetensors", "weights_sha256": digest}
    assert f"weights=start.safetensors, weights_sha256={digest[:12]}" in plan.cells[0].model.label


def test_without_a_checkpoint_a_key_is_what_it_was():
    [cell, *_] = read_suite(PLAIN, None)[1].cells
    assert cell.model.options == {"widths": [16]} and cell.model.values["weights"] == ""


def test_the_content_decides_the_key_and_neither_place_nor_metadata(workplace, monkeypatch):
    here = keys(suite("weights: nets/start.safetensors"))
    shutil.copytree("nets", "other/place")
    (workplace / "other/mine.yaml").write_text(suite("weights: place/start.safetensors"))
    assert keys("other/mine.yaml") == here
    save("nets/start.safetensors", network().state_dict(), format="pt")
    assert keys(suite("weights: nets/start.safetensors")) == here
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(workplace / "nets"))
    assert keys(suite("weights: start.safetensors")) == here
    changed = network().state_dict()
    changed["output.bias"][3] += 1e-6
    save("nets/start.safetensors", changed)
    assert not set(keys(suite("weights: nets/start.safetensors"))) & set(here)


def test_a_digest_that_is_given_must_be_the_content_s():
    with pytest.raises(SuiteError, match=f"not {'0' * 64} as weights_sha256 says; bring back the file"):
        read_suite(suite(f"weights: nets/start.safetensors, weights_sha256: '{'0' * 64}'"), None)


@pytest.mark.parametrize("digest", ["../../escaped", "0" * 63, "A" * 64, "0" * 64 + "\\n"])
def test_what_is_no_digest_is_refused_before_it_is_a_path(digest):
    with pytest.raises(SuiteError, match=r"weights_sha256.*pattern"):
        read_suite(suite(f'weights: nets/start.safetensors, weights_sha256: "{digest}"'), None)
    options = {"widths": [16], "weights": "start.safetensors", "weights_sha256": digest}
    with pytest.raises(UserError, match="weights_sha256"):
        build(Choice(name="mlp", options=options), (1, 8, 8), 10, torch.Generator())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "weights: away.safetensors",
            r"weights: away\.safetensors: no such file \(away\.safetensors\); correct the path",
        ),
        (f"weights_sha256: '{'0' * 64}'", "weights: missing; name a safetensors file"),
        ("weights: nets", r"nets: cannot be read \(Is a directory\)"),
        ("weights: nets/pickle.pt", r"nets/pickle\.pt: .*; write it by safetensors\.torch\.save_file"),
    ],
)
def test_a_mistake_is_told_once_with_its_line(line, message):
    torch.save(network().state_dict(), "nets/pickle.pt")
    with pytest.raises(SuiteError, match=message) as caught:
        read_suite(suite(line), None)
    [mistake] = caught.value.mistakes
    assert mistake.line == 6 and mistake.place.startswith("grid[0].models[0]")


def without_bias(tensors):
    del tensors["output.bias"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda t: t.update(network((12,)).state_dict()),
            r"tensor hidden0\.weight: shape \[12, 64\] found, \[16, 64\] wanted",
        ),
        (without_bias, r"tensor output\.bias: none of this name found, one of shape \[10\] wanted"),
        (
            lambda t: t.update(head=torch.zeros(2)),
            "tensor head: the network has none of this name; it has hidden0.weight",
        ),
        (
            lambda t: t.update({"output.bias": t["output.bias"].half()}),
            r"tensor output\.bias: float16 found, float32 wanted",
        ),
    ],
)
@pytest.mark.parametrize("methods", ["[magnitude]", "[dense]"])
def test_a_checkpoint_that_does_not_fit_is_refused_before_the_first_cell(edit, words, methods):
    tensors = network().state_dict()
    edit(tensors)
    save("nets/start.safetensors", tensors)
    text = edited(PLAIN, ("[magnitude]", methods))
    with pytest.raises(SuiteError, match=f"start.safetensors does not fit model mlp: {words}"):
        read_suite(suite("weights: nets/start.safetensors", text), None)


def test_protocol_published_which_draws_its_own_refuses_one():
    text = edited(
        PLAIN,
        ("{name: standard, steps: 30, cycle_steps: 5}", "{name: published, cycle_steps: 2, stop_width: 14}"),
        ("    sparsities: [0.5]\n", ""),
        ("[magnitude]", "[random-published]"),
    )
    with pytest.raises(SuiteError, match="'mlp' with weights: protocol published draws its own; remove them"):
        read_suite(suite("weights: nets/start.safetensors", text), None)


def test_a_network_is_built_with_the_checkpoint_s_weights_and_not_its_generator_s():
    model = read_suite(suite("weights: nets/start.safetensors"), None)[1].cells[0].model
    built = build(model, (1, 8, 8), 10, torch.Generator().manual_seed(99)).state_dict()
    assert all(torch.equal(built[name], tensor) for name, tensor in network().state_dict().items())


def test_a_run_starts_from_it_and_other_weights_are_other_cells(workplace):
    text = suite("weights: nets/start.safetensors")
    run = library.run(text + "keep_weights: last\n", inline=True, progress=False)
    assert run.status() == {"ok": 2}
    plain = library.run(PLAIN, "runs/plain", inline=True, progress=False)
    assert set(run.cells["accuracy"]) != set(plain.cells["accuracy"])
    # Resumed, it runs nothing; once the file has changed, its cells are others, and belong in another folder.
    made = [record.started_at for record in run.records()]
    resumed = library.run(text, inline=True, progress=False)
    assert [record.started_at for record in resumed.records()] == made
    save("nets/start.safetensors", network(seed=6).state_dict())
    with pytest.raises(StoreError, match=r"of another suite of this name: models .*weights_sha256=.*; choose another"):
        library.run(text, inline=True, progress=False)
    again = library.run(text, "runs/others", inline=True, progress=False)
    assert not set(again.cells["key"]) & set(run.cells["key"])
    # What a run kept is rebuilt without the checkpoint.
    shutil.rmtree(workplace / "nets")
    shutil.rmtree(workplace / "cache")
    record = next(run.records())
    assert NetworkFile.read(run.store.network(record)).network() is not None


def test_a_cell_run_elsewhere_finds_it_by_name_and_digest(workplace, monkeypatch):
    model = read_suite(suite("weights: nets/start.safetensors"), None)[1].cells[0].model
    monkeypatch.setenv("DTCBENCH_CACHE_DIR", str(workplace / "empty"))
    with pytest.raises(ValueError, match=r"start\.safetensors: no copy with the SHA-256 \w+ was found"):
        build(model, (1, 8, 8), 10, torch.Generator())
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(workplace / "nets"))
    build(model, (1, 8, 8), 10, torch.Generator())
    save("nets/start.safetensors", network(seed=6).state_dict())
    with pytest.raises(ValueError, match="no copy with the SHA-256"):
        build(model, (1, 8, 8), 10, torch.Generator())


def test_a_pinned_checkpoint_may_be_on_the_cluster_s_nodes_alone(workplace):
    model = read_suite(suite("weights: nets/start.safetensors"), None)[1].cells[0].model
    before = keys(suite("weights: nets/start.safetensors"))
    shutil.rmtree(workplace / "nets")
    shutil.rmtree(workplace / "cache")
    pinned = f"weights: nets/start.safetensors, weights_sha256: {model.values['weights_sha256']}"
    assert keys(suite(pinned)) == before


def test_a_damaged_copy_in_the_cache_is_replaced_when_the_suite_is_planned(workplace):
    text = suite("weights: nets/start.safetensors")
    model = read_suite(text, None)[1].cells[0].model
    [copy] = (workplace / "cache/weights").glob("*.safetensors")
    copy.write_bytes(copy.read_bytes()[:-4])
    read_suite(text, None)
    build(model, (1, 8, 8), 10, torch.Generator())
