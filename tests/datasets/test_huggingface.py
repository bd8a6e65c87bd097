"""Folders that `datasets` 5.2.0 wrote by `save_to_disk`, in `saved_to_disk/`: read without it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dtcbench.datasets.own import file, from_file, resolve
from dtcbench.datasets.splits import DatasetError

SAVED = Path(__file__).with_name("saved_to_disk")


@pytest.fixture
def copy(tmp_path):
    """`copy(name)`: one of the folders, to be changed."""
    return lambda name: Path(shutil.copytree(SAVED / name, tmp_path / name))


def rewrite(path, table):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)


def test_images_with_classes_in_splits_train_and_test():
    pixels = np.random.default_rng(0).integers(0, 256, (15, 1, 4, 5), dtype=np.uint8)
    splits = from_file(SAVED / "images")
    assert np.array_equal(splits.train_x, pixels[:9]) and np.array_equal(splits.test_x, pixels[9:])
    assert splits.train_y.tolist() == [0, 1, 2] * 3 and splits.num_classes == 3


def test_a_table_in_two_files_of_one_split():
    splits = from_file(SAVED / "table", label="kind", standardise=False)
    rows = np.concatenate([splits.train_x, splits.test_x])[:, :, 0, 0]
    assert sorted(map(tuple, rows)) == [(row, row) for row in range(20)]
    assert len(splits.test_x) == 4
    with pytest.raises(
        DatasetError, match=r"table: lacks the column 'label' of the classes; known: a, b, kind; set `label`"
    ):
        from_file(SAVED / "table")


def test_token_ids_of_all_rows_are_one_text():
    splits = from_file(SAVED / "tokens", context=2, test=0.5)
    assert splits.num_classes == 70_001
    assert splits.train_x.tolist() == [[1, 2]] and splits.test_x.tolist() == [[5, 6]]
    assert splits.test_y.tolist() == [[6, 7]]


def test_a_suite_pins_a_folder_by_its_digest(copy):
    folder = copy("tokens")
    options = resolve(folder, {"path": "tokens", "context": 2, "test": 0.5})
    shutil.rmtree(folder)
    assert file(**options).train_x.tolist() == [[1, 2]]
    with pytest.raises(DatasetError, match=r"label is for .*, a folder of Hugging Face `datasets`, and does nothing"):
        resolve(SAVED / "images" / "train" / "data-00000-of-00001.arrow", {"label": "kind"})


@pytest.mark.parametrize("name", ["../table/data-00000-of-00002.arrow", "/etc/hostname", ".."])
def test_no_file_outside_the_folder_is_read(copy, name):
    folder = copy("table")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(DatasetError, match="which is not in it"):
        from_file(folder, label="kind")


def test_the_path_of_an_image_is_never_followed(copy):
    folder = copy("images")
    path = folder / "train" / "data-00000-of-00001.arrow"
    images = pa.array([{"bytes": None, "path": "/etc/hostname"}] * 2)
    rewrite(path, pa.table({"image": images, "label": [0, 1]}))
    with pytest.raises(DatasetError, match="image, row 1: holds no image, or only its path"):
        from_file(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "state.json").write_text("{"),
        lambda folder: (folder / "state.json").write_text("[]"),
        lambda folder: (folder / "data-00000-of-00002.arrow").write_bytes(b"no arrow"),
        lambda folder: (folder / "data-00001-of-00002.arrow").unlink(),
        lambda folder: (folder / "data-00000-of-00002.arrow").write_bytes(
            (SAVED / "table" / "data-00000-of-00002.arrow").read_bytes()[:700]
        ),
    ],
    ids=["half a state", "another state", "another file", "a file gone", "truncated"],
)
def test_a_damaged_folder_is_named_with_the_remedy(copy, damage):
    folder = copy("table")
    damage(folder)
    with pytest.raises(DatasetError, match=r"table: cannot be read: .*; save the data set anew with save_to_disk"):
        from_file(folder, label="kind")


def test_no_more_than_the_limit_is_read(monkeypatch):
    monkeypatch.setattr("dtcbench.datasets.huggingface.LARGEST", 200)
    with pytest.raises(DatasetError, match="holds more than"):
        from_file(SAVED / "table", label="kind")


def test_splits_of_other_names_are_not_guessed_at(copy):
    folder = copy("images")
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["a", "b"]}))
    with pytest.raises(DatasetError, match="has the splits a, b; save it with train and test, or train alone"):
        from_file(folder)
