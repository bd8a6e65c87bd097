"""A run that keeps its weights: a check evaluates each network anew, and names every file that is not the record's."""

import hashlib
import json
import shutil
import struct

import pytest
import safetensors.torch
import torch
from cells import choice
from suites_for_tests import TINY, edited
from tampering import clean_run, records, reseal

import dtcbench as library
from dtcbench import registry
from dtcbench.publish import evaluate
from dtcbench.publish.examine import check
from dtcbench.publish.findings import lines
from dtcbench.records import untrusted
from dtcbench.records.run import Run
from dtcbench.records.store import Store
from dtcbench.training import tensors

PLAIN = edited(TINY, ("[dtc, magnitude]", "[magnitude]"), ("    solvers: [lars]\n", ""))
KEEPING = edited(PLAIN, ("seeds: 1", "seeds: 3")) + "keep_weights: last\n"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished run of six cells that keeps their weights, as if made from a clean checkout; only to be read."""
    return clean_run(tmp_path_factory.mktemp("kept"), KEEPING)


@pytest.fixture
def run(kept, tmp_path):
    """A copy of the run, to be changed."""
    return shutil.copytree(kept, tmp_path / "run")


def found(folder):
    """What a check says of weights, one line a finding; everything else that it finds is a mistake of the test."""
    all_lines = lines(check(Store(folder)))
    of_weights = [line for line in all_lines if ": weights: " in line]
    assert all(line in of_weights or ": seeds: " in line for line in all_lines), all_lines
    return of_weights


def weights(folder, place=0):
    """The file with the weights of one of the records."""
    return folder / "weights" / f"{records(folder)[place].stem}.safetensors"


def sealed_with(folder, place, content):
    """Put a file beside a record as a forger does who can seal: the record has its digest."""
    path = weights(folder, place)
    path.write_bytes(content)
    reseal(records(folder)[place], lambda record: record.update(weights_sha256=hashlib.sha256(content).hexdigest()))
    return path


def rewritten(content, edit):
    origin = json.loads(tensors.read(content)[1]["dtcbench"])
    held = safetensors.torch.load(content)
    edit(held, origin)
    return safetensors.torch.save(held, {"dtcbench": json.dumps(origin)})


def test_networks_that_are_the_records_are_found_to_be(kept):
    assert found(kept) == []


def test_each_network_is_evaluated(kept, monkeypatch):
    seen = []
    tested = evaluate.tested
    monkeypatch.setattr(evaluate, "tested", lambda cell, *more: seen.append(cell.key) or tested(cell, *more))
    assert found(kept) == []
    assert sorted(seen) == sorted(path.name.partition(".")[0] for path in records(kept))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda c: c[:-1] + bytes([c[-1] ^ 1]),
        lambda c: bytes([c[0] ^ 1]) + c[1:],
        lambda c: c[: len(c) // 2],
        lambda c: b"",
        lambda c: c + b"\0",
        lambda c: struct.pack("<Q", 2**60) + c[8:],
    ],
    ids=["a bit of a weight", "a bit of the header", "truncated", "empty", "longer", "a huge header"],
)
def test_a_changed_file_is_refused_before_it_is_read(run, monkeypatch, tamper):
    path = weights(run)
    path.write_bytes(tampered := tamper(path.read_bytes()))
    seen, read = [], evaluate.NetworkFile.read
    monkeypatch.setattr(evaluate.NetworkFile, "read", lambda content: seen.append(content) or read(content))
    [line] = found(run)
    assert len(seen) == 5 and tampered not in seen
    assert line.startswith(f"error: weights: weights/{path.name}: altered: its content does not match its record")


def test_another_cells_file_is_refused_by_name(run):
    other = weights(run, 1).read_bytes()
    weights(run, 0).write_bytes(other)
    assert "altered" in found(run)[0]
    path = sealed_with(run, 0, other)
    [line] = found(run)
    assert line.startswith(f"error: weights: weights/{path.name}: it holds the network of another cell, dense mlp")


def _worse(held, origin):
    held["output.weight"] = -held["output.weight"]


def _wrong_shape(held, origin):
    held["output.weight"] = held["output.weight"][:, :-1].clone()


def _other_neurons(held, origin):
    name = next(name for name in held if name.startswith("kept/"))
    held[name] = (15 - held[name]).sort().values


def _other_default(held, origin):
    origin["cell"]["model"]["defaults"]["bias"] = False


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_worse, "evaluated anew, DIFFERS: under the same conditions"),
        (_wrong_shape, "tensor output.weight: shape [10, 7] found, [10, 8] wanted"),
        (_other_neurons, "other neurons are left than the record seals"),
        (_other_default, "it holds the network of another cell"),
        (lambda held, origin: origin.update(classes=11), "11 outputs found"),
        (lambda held, origin: origin.update(shape=[1, 4, 16]), "samples [1, 4, 16]"),
        (lambda held, origin: origin.update(more=1), "nothing in it says which network it holds"),
    ],
)
def test_a_forgery_that_is_sealed_is_named(run, edit, words):
    path = sealed_with(run, -1, rewritten(weights(run, -1).read_bytes(), edit))
    [line] = found(run)
    assert line.startswith(f"error: weights: weights/{path.name}: ") and words in line


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_wrong_shape, "tensor output.weight: shape [10, 7] found, [10, 8] wanted; use what wrote it, dtcbench "),
        (lambda held, origin: origin["cell"].update(seed=7), "it holds the network of another cell, magnitude"),
    ],
    ids=["another shape", "another cell"],
)
def test_a_network_that_is_not_its_records_is_not_exported(run, tmp_path, dtcbench, edit, words):
    path = sealed_with(run, -1, rewritten(weights(run, -1).read_bytes(), edit))
    ended = dtcbench("export", path.name[:12], "--to", tmp_path / "out.safetensors", "--run", run)
    assert ended.code == 2 and f"{path.name}: {words}" in ended.err.replace("\n", " ")
    assert "Traceback" not in ended.err and not (tmp_path / "out.safetensors").exists()


def test_a_forged_accuracy_is_found_by_the_weights(run):
    def better(record):
        record["result"].pop("hits")
        record["result"]["accuracy"] = 0.99
        record["result"]["test_samples"] = None
        record["result"]["reasons"] |= {"hits": "lost", "test_samples": "lost"}

    reseal(records(run)[-1], better)
    errors = [line for line in lines(check(Store(run))) if line.startswith("error: weights: ")]
    assert len(errors) == 1 and "accuracy: 0.99 recorded, " in errors[0]


def test_fewer_parameters_than_the_network_has_are_found(run):
    reseal(records(run)[-1], lambda record: record["result"].update(parameters=7))
    errors = [line for line in lines(check(Store(run))) if line.startswith("error: weights: ")]
    assert len(errors) == 1 and "610 parameters found, 7 in the record" in errors[0]


def test_on_another_stack_the_spread_of_the_seeds_judges(run):
    def elsewhere(record):
        record["provenance"]["cpu"] = "Another"

    def close(held, origin):
        held["output.bias"] = held["output.bias"] + torch.linspace(0, 0.05, 10)

    for path in records(run):
        reseal(path, elsewhere)
    assert found(run) == []
    path = sealed_with(run, -1, rewritten(weights(run, -1).read_bytes(), close))
    [line] = found(run)
    assert line.startswith(f"note: weights: weights/{path.name}: evaluated anew, within the spread: accuracy ")
    sealed_with(run, -1, rewritten(weights(run, -1).read_bytes(), _worse))
    [line] = found(run)
    assert "error: weights: " in line and "more than the seeds" in line


def test_a_missing_file_is_a_warning_and_the_run_can_be_published(run, tmp_path, dtcbench):
    path = weights(run)
    path.unlink()
    [line] = found(run)
    assert line.startswith(f"warning: weights: weights/{path.name}: it is missing")
    assert dtcbench("publish", run, "--results", tmp_path / "results").code == 0


def test_published_weights_are_checked_in_the_bundle(kept, tmp_path, dtcbench):
    assert dtcbench("publish", kept, "--results", tmp_path / "results").code == 0
    [bundle] = (tmp_path / "results/tiny").iterdir()
    assert len(list((bundle / "weights").iterdir())) == 6
    assert dtcbench("check", bundle).code == 0
    path = next((bundle / "weights").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    ended = dtcbench("check", bundle)
    assert ended.code == 1 and f"error: weights: weights/{path.name}: altered" in ended.out


def test_weights_that_no_record_speaks_of_are_named(run):
    stray = run / "weights" / f"{'0' * 64}.1.safetensors"
    stray.write_bytes(b"")
    assert f"warning: files: weights/{stray.name}: weights that no record speaks of" in lines(check(Store(run)))


def test_weights_of_a_record_that_keeps_none_are_no_record_s(run):
    def forget(record):
        record["weights_sha256"] = None
        record["reasons"]["weights_sha256"] = "none"

    reseal(records(run)[0], forget)
    assert any("weights that no record speaks of" in line for line in lines(check(Store(run))))


def test_an_oversized_file_is_refused_unread(run):
    with weights(run).open("ab") as file:
        file.truncate(untrusted.MOST_BYTES["weights"] + 1)
    assert any(f"{weights(run).name}: 4294967297 bytes, more than the" in line for line in lines(check(Store(run))))


def test_a_data_set_that_is_not_here_is_said_and_never_downloaded(kept, monkeypatch):
    monkeypatch.setattr(evaluate, "would_download", lambda name: True)
    monkeypatch.setattr(registry.datasets, "bind", lambda *_: pytest.fail("loaded"))
    [line] = found(kept)
    assert line.startswith("warning: weights: weights/")
    assert line.endswith(
        "and 3 more: not evaluated anew: data set digits is not on this machine: `dtcbench fetch digits`"
    )


def test_data_of_another_content_judge_nothing(run):
    for path in records(run):
        reseal(path, lambda record: record["provenance"].update(dataset_sha256="0" * 64))
    [line] = [line for line in lines(check(Store(run))) if ": weights: " in line]
    assert line.startswith("warning: ") and "digits has another content on this machine" in line


def test_a_model_of_a_plug_in_that_is_not_here_is_said(kept, monkeypatch):
    names = registry.models.names()
    monkeypatch.setattr(registry.models, "names", lambda: [name for name in names if name != "mlp"])
    warnings = [line for line in lines(check(Store(kept))) if line.startswith("warning: weights: ")]
    assert len(warnings) == 1 and "model mlp comes from a plug-in, which is not installed" in warnings[0]


def test_samples_that_a_stranger_enlarged_are_not_loaded(monkeypatch):
    monkeypatch.setattr(registry.datasets, "bind", lambda *_: pytest.fail("loaded"))
    large = choice(registry.datasets, "digits", zoom=200)
    assert "is larger than" in evaluate._loaded(large).reason


def test_text_and_the_published_protocol_are_evaluated_as_they_were(tmp_path):
    (tmp_path / "words.txt").write_text("to be or not to be, that is the question; " * 40)
    text = edited(
        PLAIN,
        ("[digits]", f"[{{name: file, path: {tmp_path}/words.txt, context: 8}}]"),
        ("[{name: mlp, widths: [16]}]", "[{name: gpt-nano, width: 8, depth: 1, heads: 1}]"),
    )
    published = edited(
        PLAIN,
        ("{name: standard, steps: 30, cycle_steps: 5}", "{name: published, cycle_steps: 2, stop_width: 14, keep: 0.8}"),
        ("    sparsities: [0.5]\n", ""),
        ("[magnitude]", "[random-published]"),
        ("{name: mlp, widths: [16]}", "{name: mlp, widths: [16], bias: false}"),
    )
    for name, suite in {"text": text, "published": published}.items():
        done = library.run(suite + "keep_weights: last\n", str(tmp_path / name), inline=True, progress=False)
        assert done.status() == {"ok": 2}
        assert not [one for one in check(Run(done.folder).store) if one.rule == "weights"]
        assert len(list(evaluate.of_networks(done.store))) == 0
        record = next(one for one in done.records() if not one.cell.is_dense)
        data = evaluate._loaded(record.cell.dataset)
        numbers = evaluate._evaluated(done.store.network(record), record, record.result, data)
        for field, value in numbers.items():
            assert getattr(record.result, field) == value
