"""Files of one's own, decoded: arrays (.npz), tables (.csv, .parquet), texts (.txt, .npy) and folders of images.

Nothing in a file is run, and how much is read is bounded.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dtcbench.datasets.content import Content
from dtcbench.datasets.folder import LARGEST, arrays_of, mapped, mode_of, naming, stacked
from dtcbench.datasets.huggingface import embedded, is_of_images, is_saved, tables
from dtcbench.datasets.splits import VALUES, Array, DatasetError, Task, Values, bytes_of, images_of, targets_of
from dtcbench.errors import near
from dtcbench.validation import shown

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_CLASSES = 256
_CHANNELS = (1, 3)
"""Of grey and of coloured images."""
_IDS = "input_ids"
"""The column of token ids, as tokenizers of Hugging Face name it."""
_LARGEST_TOKEN = 2**31 - 1
_SPLITS = ("train_x", "train_y", "test_x", "test_y")
_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
"""What stands for a missing number in a CSV file."""
Part = tuple[NDArray[Any], NDArray[Any]]
"""Samples, and their labels or values as the file has them."""


def read(
    path: str | Path,
    *,
    test_path: str | Path | None = None,
    label: str = "label",
    task: Task = "classification",
) -> Content:
    """The content of a file or folder.

    Parameters
    ----------
    path : a file that ends on .npz, .csv, .parquet, .txt or .npy, or a folder of images or of `datasets`
    test_path : a second file of the same kind with the test samples
    label : the column of a table that holds the classes or values; all other columns are features
    task : whether the labels are classes, or the values of a regression

    Raises
    ------
    DatasetError : names the file, the column or array, the value, and the remedy
    """
    train = _parts(Path(path), label, task)
    if isinstance(train, Content):
        if task == "regression":
            raise DatasetError(f"{path}: a text, which has no values for a regression; remove task")
        return train if test_path is None else _with_test(train, Path(test_path), label)
    parts = list(train)
    if test_path is not None:
        test = _parts(Path(test_path), label, task)
        if len(parts) > 1 or isinstance(test, Content) or len(test) > 1:
            raise DatasetError(f"{test_path}: give one kind of file with one part each in path and test_path")
        parts += test
    try:
        return content_of(parts, task)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def _parts(path: Path, label: str, task: Task) -> Content | Sequence[Part]:
    """The text, or one or two parts: all samples, or training and test samples."""
    kinds: dict[str, Callable[[Path], Content | Sequence[Part]]] = {
        ".npz": _of_archive,
        ".csv": lambda file: [_of_table(file, _csv(file, label, task), label, task)],
        ".parquet": lambda file: [_of_table(file, _parquet(file), label, task)],
        ".txt": _text,
        ".npy": _tokens,
    }
    if is_saved(path):
        return _saved(path, label, task)
    if path.is_dir():
        arrays = arrays_of(path)
        whole = [(arrays["x"], arrays["y"])] if "x" in arrays else None
        return whole or [(arrays["train_x"], arrays["train_y"]), (arrays["test_x"], arrays["test_y"])]
    if not path.is_file():
        raise DatasetError(f"{path}: no such file or folder; name one that is there")
    if path.suffix.lower() not in kinds:
        raise DatasetError(f"{path}: ends on none of {', '.join(kinds)}; save it as one of them, or name a folder")
    if path.suffix.lower() != ".npy" and path.stat().st_size > LARGEST:
        raise DatasetError(f"{path}: larger than {LARGEST >> 30} GiB; make it smaller, or write a plug-in")
    return kinds[path.suffix.lower()](path)


def _of_archive(path: Path) -> Sequence[Part]:
    """The parts in an `.npz`: arrays x and y, with test_x and test_y if there is a test part, or train_x and so on."""
    remedy = "write it with numpy.savez, without objects"
    with naming(path, "cannot be read", remedy), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > LARGEST:
                size = f"{member.filename} unpacks to {member.file_size} bytes"
                raise ValueError(f"{size}, more than {LARGEST >> 30} GiB")
    with naming(path, "cannot be read", remedy), np.load(path, allow_pickle=False) as arrays:
        held = list(arrays)
        names = _SPLITS if "train_x" in held else ("x", "y", *(("test_x", "test_y") if "test_x" in held else ()))
        found = {name: np.asarray(arrays[name]) for name in names if name in held}
    if absent := [name for name in names if name not in found]:
        raise DatasetError(
            f"{path}: lacks {', '.join(absent)}; it holds {', '.join(held) or 'nothing'}: name its arrays x and y, and "
            "test_x and test_y if it has a test part"
        )
    values = [found[name] for name in names]
    return [(x, y) for x, y in zip(values[::2], values[1::2], strict=True)]


def _csv(path: Path, label: str, task: Task) -> pd.DataFrame:
    import pyarrow
    from pyarrow import csv

    options = csv.ConvertOptions(
        # A class may be called NA, or 01.
        column_types={label: pyarrow.string()} if task == "classification" else {},
        null_values=list(_MISSING),
        strings_can_be_null=False,
    )
    with naming(path, "cannot be read", "save it as UTF-8 text with commas, and the columns' names in the first line"):
        table: pd.DataFrame = csv.read_csv(path, convert_options=options).to_pandas()
    return table


def _parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet

    with naming(path, "cannot be read", "write it with pandas.DataFrame.to_parquet"):
        table = parquet.ParquetFile(path)
        if (size := 8 * table.metadata.num_rows * table.metadata.num_columns) > LARGEST:
            raise ValueError(f"unpacks to {size} bytes, more than {LARGEST >> 30} GiB")
        frame: pd.DataFrame = table.read().to_pandas(ignore_metadata=True)
    return frame


def _of_table(path: Path, table: pd.DataFrame, label: str, task: Task) -> Part:
    labels = _labels(path, table, label, task)
    features = table.drop(columns=label)
    if not len(table) or features.columns.empty:
        raise DatasetError(
            f"{path}: {len(table)} rows with {len(features.columns)} features; give at least one of both"
        )
    return np.stack([_numbers(path, name, features[name]) for name in features.columns], axis=1), labels


def _labels(path: Path, table: pd.DataFrame, label: str, task: Task) -> NDArray[Any]:
    """The column of the classes or values; DatasetError if there is none, or a row without one."""
    if label not in table.columns:
        known, what = [str(name) for name in table.columns], "classes" if task == "classification" else "values"
        raise DatasetError(f"{path}: lacks the column {label!r} of the {what}; {near(label, known)}; set `label`")
    labels = table[label]
    if task == "regression":
        return _numbers(path, label, labels, "values")
    if labels.isna().any() or labels.eq("").any():
        row = int(np.argmax((labels.isna() | labels.eq("")).to_numpy()))
        raise DatasetError(f"{path}: column {label!r}, row {row + 1}: no class; fill it in, or remove the row")
    return np.asarray(labels.tolist())


def _numbers(path: Path, name: object, column: pd.Series[Any], what: str = "features") -> NDArray[np.float64]:
    """A column as numbers; DatasetError has the first row, counted from 1 without the header, that is none."""
    import pandas as pd

    is_number = column.dtype.kind in "biuf"
    numbers = (column if is_number else pd.to_numeric(column.astype(str), errors="coerce")).to_numpy(np.float64)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        row = int(np.argmax(wrong))
        given = column.iloc[row]
        text = "no value" if pd.isna(given) else shown(given) if isinstance(given, str) else str(given)
        raise DatasetError(
            f"{path}: column {str(name)!r}, row {row + 1}: {text}, and {what} are finite numbers; write the column "
            "as numbers, remove it, or remove the row"
        )
    return numbers


def _text(path: Path) -> Content:
    with naming(path, "cannot be read", "save it as UTF-8 text"):
        text = path.read_text(encoding="utf-8")
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    characters, tokens = np.unique(points, return_inverse=True)
    if not 2 <= len(characters) <= _CLASSES:
        raise DatasetError(
            f"{path}: {len(characters)} different characters; give a text with 2 to {_CLASSES}: leave out rare ones"
        )
    return Content(tokens.astype(np.uint8))


def _saved(path: Path, label: str, task: Task) -> Content | Sequence[Part]:
    """A folder of `datasets`: images with classes or values, token ids, or a table."""
    found = tables(path)
    names = set(found[0].column_names).intersection(*(table.column_names for table in found))
    if _IDS in names and label not in names:
        return _as_narrow_as_holds(*(_ids(path, _flat(path, table)) for table in found))
    if pictures := [name for name in sorted(names) if is_of_images(found[0], name)]:
        images = [embedded(path, table, pictures[0]) for table in found]
        mode = mode_of([image for part in images for image in part])
        others = [table.drop_columns(pictures).to_pandas(ignore_metadata=True) for table in found]
        labels = [_labels(path, table, label, task) for table in others]
        return [(stacked(part, mode), of_part) for part, of_part in zip(images, labels, strict=True)]
    return [_of_table(path, table.to_pandas(ignore_metadata=True), label, task) for table in found]


def _flat(path: Path, table: pa.Table) -> NDArray[Any]:
    """Token ids of all rows, one after the other."""
    with naming(path, f"column {_IDS}", "save lists of whole numbers"):
        ids: NDArray[Any] = table[_IDS].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return ids


def _tokens(path: Path) -> Content:
    return _as_narrow_as_holds(_ids(path, mapped(path)))


def _ids(path: Path, tokens: NDArray[Any]) -> NDArray[Any]:
    """The token ids as they are; DatasetError if they are none."""
    if tokens.ndim != 1 or tokens.dtype.kind not in "ui" or not tokens.size:
        raise DatasetError(
            f"{path}: {tokens.dtype} {list(tokens.shape)}; give a text's token ids, whole numbers [tokens], or put "
            "images or features with their labels into an .npz"
        )
    if not 0 <= int(tokens.min()) <= int(tokens.max()) <= _LARGEST_TOKEN:
        raise DatasetError(f"{path}: holds {tokens.min()} to {tokens.max()}; give ids from 0 to {_LARGEST_TOKEN}")
    return tokens


def _as_narrow_as_holds(*parts: NDArray[Any]) -> Content:
    """Token ids as uint16, or uint32 if one needs it: the same values have one digest."""
    narrow = np.uint16 if max(int(part.max()) for part in parts) <= np.iinfo(np.uint16).max else np.uint32
    train, *test = (part.astype(narrow, copy=False) for part in parts)
    return Content(train, test_x=test[0] if test else None)


def _with_test(train: Content, path: Path, label: str) -> Content:
    """A text whose test part is another file."""
    if train.x.dtype == np.uint8:
        raise DatasetError(f"{path}: the last part of a text of characters is its test part; remove test_path")
    test = _parts(path, label, "classification")
    if not isinstance(test, Content) or test.x.dtype == np.uint8:
        raise DatasetError(f"{path}: holds no token ids, as path does; give token ids in both")
    return _as_narrow_as_holds(train.x, test.x)


def content_of(parts: Sequence[Part], task: Task = "classification") -> Content:
    """All samples, or training and test samples, brought to one type, with their classes numbered from 0, or their
    values.

    DatasetError if they do not fit.
    """
    samples = [_samples(name, x) for name, (x, _) in zip(("x", "test_x"), parts, strict=False)]
    if len({x.dtype for x in samples}) > 1:
        samples = [x.astype(np.float64) for x in samples]
    given = [y for _, y in parts]
    labels: Sequence[Array | Values] = (
        _numbered(given)
        if task == "classification"
        else [targets_of(name, y, task) for name, y in zip(("y", "test_y"), given, strict=False)]
    )
    for name, x, y in zip(("y", "test_y"), samples, labels, strict=False):
        if len(x) != len(y):
            noun = "labels" if task == "classification" else "values"
            raise DatasetError(f"{name} has {len(y)} {noun} for {len(x)} samples; give one for each")
    if len(samples) == 1:
        return Content(samples[0], labels[0])
    return Content(samples[0], labels[0], samples[1], labels[1])


def _samples(name: str, given: NDArray[Any]) -> NDArray[Any]:
    """Images as uint8 [N, channels, height, width], or features as float64 [N, …]."""
    if given.dtype.kind not in "buif":
        raise DatasetError(f"{name} is {given.dtype}; give numbers")
    if given.ndim == 4 and given.shape[3] in _CHANNELS and given.shape[1] not in _CHANNELS:
        raise DatasetError(
            f"{name} has shape {list(given.shape)}, with the channels last; give [images, channels, height, width], "
            f"such as {name}.transpose(0, 3, 1, 2)"
        )
    if given.ndim in (3, 4) and given.dtype.kind in "bui":
        return images_of(name, given)
    if given.ndim not in (2, 3, 4) or not given.size:
        raise DatasetError(
            f"{name} has shape {list(given.shape)}; give features [samples, features], or images "
            "[images, height, width] or [images, channels, height, width]"
        )
    x = given.astype(np.float64) + 0.0  # −0 becomes 0
    if not np.isfinite(x).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(x))[0])
        raise DatasetError(f"{name}{list(place)} is {x[place]}; give finite numbers, or leave the sample out")
    return x[:, None] if x.ndim == 3 else x


def _numbered(given: Sequence[NDArray[Any]]) -> list[Array]:
    """Labels of any kind as numbers from 0: in the order of the numbers if all are whole numbers, else of the texts."""
    for name, labels in zip(("y", "test_y"), given, strict=False):
        if labels.ndim != 1:
            raise DatasetError(f"{name} has shape {list(labels.shape)}; give one label for each sample, {VALUES}")
        if labels.dtype.kind == "f" and not (labels == np.rint(labels)).all():
            raise DatasetError(
                f"{name} holds {labels[labels != np.rint(labels)][0]}; give classes: whole numbers or texts, {VALUES}"
            )
        if labels.dtype.kind not in "buifU":
            raise DatasetError(f"{name} is {labels.dtype}; give classes: whole numbers or texts")
    texts = [labels.astype(np.int64 if labels.dtype.kind in "buif" else str).astype(str) for labels in given]
    classes = sorted({str(text) for labels in texts for text in np.unique(labels)}, key=_in_order)
    if not 2 <= len(classes) <= _CLASSES:
        raise DatasetError(f"{len(classes)} different labels; give 2 to {_CLASSES} classes, {VALUES}")
    number = {text: code for code, text in enumerate(classes)}
    return [bytes_of("y", np.array([number[str(text)] for text in labels])) for labels in texts]


def _in_order(label: str) -> tuple[int, int, str]:
    try:
        return 0, int(label), label
    except ValueError:
        return 1, 0, label
