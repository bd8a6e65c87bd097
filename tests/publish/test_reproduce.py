"""Cells run again: chosen by a stated seed, equal bit for bit under the same conditions, else within the spread."""

import pytest
from tampering import claim_accuracy, content, records, reseal

from dtcbench.publish import reproduce
from dtcbench.publish.compare import differences, numbers
from dtcbench.records.run import Run


@pytest.fixture(scope="module")
def recorded(finished):
    return list(Run(finished).records())


def test_a_tiny_run_is_published_checked_and_reproduced(finished, tmp_path, dtcbench):
    results = tmp_path / "results"
    assert dtcbench("publish", finished, "--results", results).code == 0
    (bundle,) = (results / "tiny").iterdir()
    assert dtcbench("check", bundle).code == 0
    ended = dtcbench("reproduce", bundle, "--sample", "3", "--seed", "7")
    assert ended.code == 0, ended.out
    first, *verdicts, last = ended.out.splitlines()
    assert first.startswith("3 cells, chosen by seed 7; about ")
    assert len(verdicts) == 3
    assert all(line.startswith("same: ") and line.endswith(": bit for bit") for line in verdicts)
    assert last == "3 of 3 cells reproduced"


def test_a_forged_figure_is_found_out(run, dtcbench):
    for path in records(run):
        accuracy = content(path)["result"]["accuracy"]
        reseal(path, lambda record, better=(1 + accuracy) / 2: claim_accuracy(record, better))
    ended = dtcbench("reproduce", run, "--sample", "1")
    assert ended.code == 1
    verdict = ended.out.splitlines()[1]
    assert verdict.startswith("DIFFERS: ")
    assert "under the same conditions 1 numbers differ: accuracy: " in verdict
    assert ended.out.endswith("0 of 1 cells reproduced\n")


def test_the_sample_is_the_seeds_and_nothing_elses(recorded):
    def chosen(count, seed):
        return [record.key for record in reproduce.sample(recorded, count, seed)]

    assert chosen(4, 1) == [record.key for record in reproduce.sample(reversed(recorded), 4, 1)]
    assert chosen(4, 1)[:2] == chosen(2, 1)
    assert len({tuple(chosen(4, seed)) for seed in range(5)}) == 5
    assert sorted(chosen(99, 1)) == sorted(record.key for record in recorded)


def moved(record, accuracy=None, **provenance):
    """The record with another accuracy, as if made under other conditions."""
    result = record.result.model_copy(update={} if accuracy is None else {"accuracy": accuracy})
    return record.model_copy(update={"result": result, "provenance": record.provenance.model_copy(update=provenance)})


def test_another_processor_is_judged_by_the_spread_of_the_seeds(recorded):
    record, row = recorded[0], [0.80, 0.85, 0.90]
    here = record.result.accuracy
    near, far = moved(record, here - 0.05, cpu="Another"), moved(record, here - 0.2, cpu="Another")
    assert reproduce.judge(record, near, row)[0] == "within the spread"
    outcome, reason = reproduce.judge(record, far, row)
    assert outcome == "DIFFERS" and outcome in reproduce.FAILURES
    assert "processor (" in reason and "Another here" in reason


def test_another_version_is_another_stack(recorded):
    record = recorded[0]
    again = moved(record, record.result.accuracy - 0.01, packages=record.provenance.packages | {"torch": "1.0"})
    outcome, reason = reproduce.judge(record, again, [0.8, 0.9, 0.95])
    assert outcome == "within the spread"
    assert f"torch ({record.provenance.packages['torch']} recorded, 1.0 here)" in reason


def test_two_seeds_judge_nothing(recorded):
    record = recorded[0]
    outcome, _ = reproduce.judge(record, moved(record, 0.1, cpu="Another"), [0.8, 0.9])
    assert outcome == "not judged" and outcome not in reproduce.FAILURES


def test_equal_numbers_are_the_same_on_any_stack(recorded):
    assert reproduce.judge(recorded[0], moved(recorded[0], cpu="Another"), [0.5])[0] == "same"


def test_seconds_are_no_numbers_and_every_difference_is_named_by_its_place(recorded):
    result = next(record.result for record in recorded if record.cell.method.name == "dtc")
    layer = result.cycles[1].layers[0]
    slower = layer.model_copy(update={"solver_s": 1e9})
    other = layer.model_copy(update={"kept_sha256": "0" * 64})

    def with_layer(changed):
        cycle = result.cycles[1].model_copy(update={"layers": [changed]})
        return result.model_copy(update={"train_s": 1e9, "cycles": [result.cycles[0], cycle, *result.cycles[2:]]})

    assert list(differences(numbers(result), numbers(with_layer(slower)))) == []
    ((place, one, two),) = differences(numbers(result), numbers(with_layer(other)))
    assert (place, one, two) == ("cycles[1].layers[0].kept_sha256", layer.kept_sha256, "0" * 64)


def test_a_cell_that_cannot_be_run_here_is_not_reproduced(gpu_run, dtcbench, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    ended = dtcbench("reproduce", gpu_run, "--sample", "1")
    assert ended.code == 1
    assert ended.out.splitlines()[1].startswith("not run: ")
    assert "torch sees none" in ended.out


def test_a_run_without_an_ok_cell_is_a_mistake(run, dtcbench):
    for path in records(run):
        path.unlink()
    assert "has no ok cell to run again" in dtcbench("reproduce", run).err
