"""Files and folders of one's own: every format decodes to the same content, and what does not fit is named."""

import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dtcbench.datasets import content as contents
from dtcbench.datasets import folder as folders
from dtcbench.datasets.content import Content
from dtcbench.datasets.folder import from_folder
from dtcbench.datasets.own import example, file, from_file, resolve
from dtcbench.datasets.reading import read
from dtcbench.datasets.splits import DatasetError, Pixels, Splits
from dtcbench.registry import datasets
from dtcbench.training.loop import to_device
from dtcbench.validation import MisfitError

RNG = np.random.default_rng(3)
X = RNG.normal(5, 3, (60, 3)).round(3)
Y = np.array(["b", "a", "10", "9"] * 15)
CODES = [{"9": 0, "10": 1, "a": 2, "b": 3}[label] for label in Y]
TABLE = pd.DataFrame(X, columns=["one", "two", "three"]).assign(label=Y)


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def table(path, frame=TABLE):
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


@pytest.fixture
def archive(tmp_path):
    return saved(tmp_path / "own.npz", x=X, y=Y)


def test_an_archive_and_tables_with_the_same_values_are_the_same_content(archive, tmp_path):
    found = read(archive)
    assert found.x.dtype == np.float64 and np.array_equal(found.x, X)
    assert found.y.tolist() == CODES
    shuffled = TABLE[["label", "one", "two", "three"]]
    paths = [table(tmp_path / "own.csv"), table(tmp_path / "own.parquet"), table(tmp_path / "moved.csv", shuffled)]
    assert {read(path).sha256 for path in paths} == {found.sha256}


@pytest.mark.parametrize(
    "change",
    [lambda x, y: (x + 1e-9, y), lambda x, y: (x[:, ::-1], y), lambda x, y: (x, y[::-1]), lambda x, y: (x[1:], y[1:])],
    ids=["value", "columns", "labels", "rows"],
)
def test_another_content_has_another_digest(archive, tmp_path, change):
    x, y = change(X, Y)
    assert read(saved(tmp_path / "other.npz", x=x, y=y)).sha256 != read(archive).sha256


def test_whole_numbers_and_texts_are_classes_in_their_order(tmp_path):
    for name, y in {"whole": np.array([30.0, 4, 30, 4]), "text": np.array(["x", "NA", "x", "NA"])}.items():
        assert read(saved(tmp_path / f"{name}.npz", x=X[:4], y=y)).y.tolist() == [1, 0, 1, 0]
    frame = TABLE.head(4).assign(label=["x", "NA", "x", "NA"])
    assert read(table(tmp_path / "na.csv", frame)).y.tolist() == [1, 0, 1, 0]


def test_features_are_float32_channels_of_one_pixel_standardised_by_the_training_samples(archive):
    splits = from_file(archive)
    assert splits.input_shape == (3, 1, 1) and splits.num_classes == 4
    assert splits.train_x.dtype == splits.test_x.dtype == np.float32
    assert splits.train_x.mean((0, 2, 3)) == pytest.approx([0, 0, 0], abs=1e-6)
    assert splits.train_x.std((0, 2, 3)) == pytest.approx([1, 1, 1], abs=1e-6)
    raw = from_file(archive, standardise=False)
    scale = [raw.train_x.astype(float).mean(0), raw.train_x.astype(float).std(0)]
    assert splits.test_x == pytest.approx((raw.test_x - scale[0]) / scale[1], abs=1e-5)
    train, _ = to_device(splits, "cpu")
    assert np.array_equal(train.x.numpy(), splits.train_x)


def test_a_feature_that_is_constant_in_training_becomes_zero(tmp_path):
    x = np.column_stack([X, np.full(60, 0.1)])
    splits = from_file(saved(tmp_path / "own.npz", x=x, y=Y))
    assert np.abs(splits.train_x[:, 3]).max() < 1e-6


def test_a_fifth_of_each_class_tests_whatever_the_order(archive, tmp_path):
    splits = from_file(archive, standardise=False)
    assert np.bincount(splits.test_y).tolist() == [3, 3, 3, 3]
    assert len(from_file(archive, test=0.4).test_x) == 24
    order = RNG.permutation(60)
    moved = from_file(saved(tmp_path / "moved.npz", x=X[order], y=Y[order]), standardise=False)
    for part in ("train_x", "test_x"):
        rows = [sorted(map(tuple, getattr(s, part).reshape(-1, 3))) for s in (splits, moved)]
        assert rows[0] == rows[1]


def test_equal_samples_of_a_class_are_never_apart(tmp_path):
    few = np.repeat(RNG.normal(size=(12, 3)), 10, axis=0)
    splits = from_file(saved(tmp_path / "own.npz", x=few, y=np.repeat([0, 1], 60)), test=0.3)
    parts = [{row.tobytes() for row in x} for x in (splits.train_x, splits.test_x)]
    assert parts[1] and not parts[0] & parts[1]


def test_a_second_file_or_part_tests(tmp_path):
    one = saved(tmp_path / "one.npz", x=X[:40], y=Y[:40])
    two = saved(tmp_path / "two.npz", x=X[40:], y=Y[40:])
    both = saved(tmp_path / "both.npz", x=X[:40], y=Y[:40], test_x=X[40:], test_y=Y[40:])
    long = saved(tmp_path / "long.npz", train_x=X[:40], train_y=Y[:40], test_x=X[40:], test_y=Y[40:])
    digests = {from_file(path).sha256 for path in (both, long)} | {from_file(one, test_path=two).sha256}
    assert len(digests) == 1
    assert from_file(both).test_y.tolist() == CODES[40:]


def test_values_to_predict_are_the_same_content_in_every_format_and_split_whatever_their_order(tmp_path):
    values = X @ [[2.0], [1.0], [-3.0]]
    archive = saved(tmp_path / "own.npz", x=X, y=values[:, 0])
    frame = pd.DataFrame(X).assign(label=values).rename(columns=str)
    paths = [archive, saved(tmp_path / "column.npz", x=X, y=values)]
    paths += [table(tmp_path / f"own.{kind}", frame) for kind in ("csv", "parquet")]
    assert {read(path, task="regression").sha256 for path in paths} == {read(archive, task="regression").sha256}

    folder = tmp_path / "arrays"
    folder.mkdir()
    parts = dict(
        zip(("train_x", "train_y", "test_x", "test_y"), (X[:40], values[:40], X[40:], values[40:]), strict=True)
    )
    for name, array in parts.items():
        np.save(folder / f"{name}.npy", array)
    apart = from_file(folder, task="regression")
    assert apart.sha256 == from_file(saved(tmp_path / "apart.npz", **parts), task="regression").sha256
    assert apart.train_y.dtype == np.float32 and apart.train_y == pytest.approx(values[:40])
    assert apart.num_classes == 1

    splits = from_file(archive, task="regression")
    moved = from_file(saved(tmp_path / "moved.npz", x=X[::-1], y=values[::-1]), task="regression")
    assert len(splits.test_y) == 12
    assert sorted(splits.test_y[:, 0]) == sorted(moved.test_y[:, 0])


def test_what_are_values_is_said_by_the_word_alone(tmp_path):
    whole = saved(tmp_path / "whole.npz", x=X, y=np.arange(60) % 3)
    classes, values = from_file(whole), from_file(whole, task="regression")
    assert (classes.task, classes.num_classes) == ("classification", 3)
    assert (values.task, values.num_classes) == ("regression", 1)
    with pytest.raises(DatasetError, match=r"train_y is float64; give classes as whole numbers, or write `task: reg"):
        Splits.from_arrays(IMAGES, LABELS / 2, IMAGES, LABELS)
    pinned = {"sha256": read(whole, task="regression").sha256, "path": "whole.npz"}
    contents.keep(read(whole, task="regression"))
    assert file(**pinned, task="regression").sha256 == values.sha256
    with pytest.raises(DatasetError, match="the content with this sha256 is for regression, not classification; corr"):
        file(**pinned)


IMAGES = RNG.integers(0, 256, (8, 1, 4, 5), dtype=np.uint8)
LABELS = np.array([0, 1] * 4)


def test_arrays_of_images_stay_bytes_with_pixels(tmp_path):
    held = {"x": IMAGES[:, 0], "y": LABELS, "test_x": IMAGES[:2, 0], "test_y": LABELS[:2]}
    splits = from_file(saved(tmp_path / "own.npz", **held))
    assert splits.sha256 == Splits.from_arrays(IMAGES, LABELS, IMAGES[:2], LABELS[:2]).sha256
    assert from_file(tmp_path / "own.npz", standardise=False).pixels == Pixels(255.0, 0.0, 1.0)


def test_images_of_floats_are_standardised_per_channel(tmp_path):
    x = RNG.normal(size=(20, 2, 4, 4)) * [[[[3]], [[0.1]]]] + 7
    splits = from_file(saved(tmp_path / "own.npz", x=x, y=np.arange(20) % 2))
    assert splits.input_shape == (2, 4, 4)
    assert splits.train_x.std((0, 2, 3)) == pytest.approx([1, 1], abs=1e-5)


def test_a_folder_per_class_is_split_and_one_with_a_test_part_is_not(tmp_path):
    for number, image in enumerate(IMAGES):
        for place in (f"plain/c{number % 2}", f"parts/train/c{number % 2}", f"parts/test/c{number % 2}"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(tmp_path / place / f"{number}.png")
    plain, parts = from_file(tmp_path / "plain", test=0.5), from_file(tmp_path / "parts")
    assert (len(plain.train_x), len(plain.test_x)) == (4, 4)
    assert parts.sha256 == from_folder(tmp_path / "parts").sha256
    with pytest.raises(DatasetError, match="does not hold a test part"):
        from_folder(tmp_path / "plain")


def test_a_text_is_characters_whose_last_part_tests(tmp_path):
    (tmp_path / "own.txt").write_text("äbc" * 100, encoding="utf-8")
    splits = from_file(tmp_path / "own.txt", context=7, test=0.1)
    assert (splits.num_classes, splits.pixels, splits.input_shape) == (3, None, (7,))
    assert splits.train_x.ravel()[:4].tolist() == [2, 0, 1, 2]
    assert splits.train_y.ravel()[:4].tolist() == [0, 1, 2, 0]
    assert len(splits.train_x) == 269 // 7 and len(splits.test_x) == 29 // 7
    with pytest.raises(DatasetError, match=r"own\.txt: context 30 leaves no sample; choose at most 29"):
        from_file(tmp_path / "own.txt", context=30, test=0.1)


def tokens(path, ids, dtype=np.int64):
    np.save(path, np.asarray(ids, dtype))
    return path


IDS = RNG.integers(0, 50_000, 400)


def test_token_ids_are_a_text_of_any_vocabulary_whose_last_part_tests(tmp_path):
    splits = from_file(tokens(tmp_path / "own.npy", IDS), context=16, test=0.25)
    assert splits.is_text and not splits.is_of_characters and splits.num_classes == IDS.max() + 1
    assert np.array_equal(splits.train_x[1], IDS[16:32]) and np.array_equal(splits.train_y[1], IDS[17:33])
    assert np.array_equal(splits.test_x[0], IDS[300:316])
    assert from_file(tmp_path / "own.npy", vocabulary=50_257).num_classes == 50_257
    with pytest.raises(DatasetError, match=f"vocabulary 9 has no token {IDS.max()}, .*; give {IDS.max() + 1}"):
        from_file(tmp_path / "own.npy", vocabulary=9)


def test_the_same_ids_are_the_same_content_in_the_narrowest_type_that_holds_them(tmp_path):
    paths = [tokens(tmp_path / f"{dtype}.npy", IDS, dtype) for dtype in ("uint16", "uint32", "int64", ">i4")]
    assert {read(path).sha256 for path in paths} == {read(paths[0]).sha256}
    assert read(paths[2]).x.dtype == np.uint16
    wide = from_file(tokens(tmp_path / "wide.npy", [*IDS, 70_000]))
    assert wide.train_x.dtype == np.uint32 and wide.num_classes == 70_001


def test_a_second_file_of_tokens_tests_and_counts_for_the_vocabulary(tmp_path):
    train, test = tokens(tmp_path / "train.npy", IDS, "uint16"), tokens(tmp_path / "val.npy", [*IDS[:200], 70_000])
    splits = from_file(train, test_path=test, context=8)
    assert len(splits.train_x) == 399 // 8 and len(splits.test_x) == 25 and splits.num_classes == 70_001
    (tmp_path / "own.txt").write_text("ab" * 100)
    with pytest.raises(DatasetError, match=r"own\.txt: holds no token ids, as path does"):
        from_file(train, test_path=tmp_path / "own.txt")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 3), np.int64), r"own\.npy: int64 \[4, 3\]; give a text's token ids"),
        (np.zeros(4), "float64"),
        (np.zeros(0, np.int64), r"int64 \[0\]"),
        (np.array([3, -1]), "holds -1 to 3; give ids from 0 to 2147483647"),
        (np.array([0, 2**31]), "holds 0 to 2147483648"),
        (np.array([{}], dtype=object), "cannot be read: ValueError: .*without objects"),
    ],
)
def test_an_array_that_is_no_text_is_named(tmp_path, array, message):
    np.save(tmp_path / "own.npy", array)
    with pytest.raises(DatasetError, match=message):
        from_file(tmp_path / "own.npy")


def changed(column, row, value):
    frame = TABLE.astype({column: object})
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "message"),
    {
        "word": (changed("two", 6, "red"), r"column 'two', row 7: 'red', and features are finite numbers; write"),
        "empty": (changed("two", 6, None), "column 'two', row 7: no value"),
        "infinite": (changed("three", 0, "inf"), "column 'three', row 1: inf"),
        "no class": (changed("label", 2, None), "column 'label', row 3: no class; fill it in"),
        "date": (changed("one", slice(None), "2020-01-01"), "column 'one', row 1: 2020-01-01"),
        "no label": (TABLE.rename(columns={"label": "labels"}), "lacks the column 'label' .*'labels'.*; set `label`"),
        "no feature": (TABLE[["label"]], "60 rows with 0 features"),
        "no row": (TABLE.head(0), "0 rows with 3 features"),
        "one class": (TABLE.assign(label="a"), "1 different labels; give 2 to 256 classes"),
    }.values(),
)
def test_what_does_not_fit_in_a_table_is_named(tmp_path, frame, message):
    path = table(tmp_path / "own.csv", frame)
    with pytest.raises(DatasetError, match=message) as caught:
        from_file(path, test=0.2)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("arrays", "message"),
    {
        "names": ({"features": X, "y": Y}, "lacks x; it holds features, y: name its arrays x and y"),
        "nan": ({"x": np.where(X[4, 1] == X, np.nan, X), "y": Y}, r"x\[4, 1\] is nan; give finite numbers"),
        "words": ({"x": np.array([["1"]] * 60), "y": Y}, "x is <U1; give numbers"),
        "complex": ({"x": X + 1j, "y": Y}, "x is complex128"),
        "flat": ({"x": X[:, 0], "y": Y}, r"x has shape \[60\]; give features \[samples, features\]"),
        "channels last": (
            {"x": RNG.integers(0, 256, (60, 8, 8, 3), np.uint8), "y": Y},
            r"x has shape \[60, 8, 8, 3\], with the channels last; give .* such as x\.transpose\(0, 3, 1, 2\)",
        ),
        "lengths": ({"x": X, "y": Y[1:]}, "y has 59 labels for 60 samples"),
        "one-hot": ({"x": X, "y": np.eye(60)}, r"y has shape \[60, 60\]"),
        "fractions": ({"x": X, "y": X[:, 0]}, "give classes: whole numbers or texts, or write `task: regression` if"),
        "many": ({"x": RNG.normal(size=(300, 2)), "y": np.arange(300)}, "300 different labels; give 2 to 256"),
        "sizes": (
            {"x": X, "y": Y, "test_x": X[:, 1:], "test_y": Y},
            r"test samples have shape \[2\], the others \[3\]",
        ),
        "unseen": ({"x": X[:2], "y": Y[:2], "test_x": X, "test_y": Y}, "lacks class"),
        "few": ({"x": X[:4], "y": Y[:4]}, r"test 0\.2 of 4 samples leaves none to test"),
        "pickle": ({"x": np.array([{}] * 4), "y": Y[:4]}, "cannot be read: ValueError: Object arrays"),
    }.values(),
)
def test_what_does_not_fit_in_an_archive_is_named(tmp_path, arrays, message):
    path = saved(tmp_path / "own.npz", **arrays)
    with pytest.raises(DatasetError, match=message) as caught:
        from_file(path)
    assert str(caught.value).startswith(f"{path}: ")


HOSTILE = {
    "own.csv": [b"", b"\xff\xfe\x00", b'label,a\n"x', b"label,a\n1,2,3\n"],
    "own.parquet": [b"", b"PAR1 but not really PAR1", b"text"],
    "own.npz": [b"", b"PK\x03\x04", b"text"],
    "own.npy": [b"", b"\x93NUMPY", b"text"],
    "own.txt": [b"", b"\xff\xfe\xfa", b"aaaa", "".join(map(chr, range(200, 500))).encode()],
}


@pytest.mark.parametrize(("name", "given"), [(name, given) for name, all_ in HOSTILE.items() for given in all_])
def test_a_damaged_file_is_named(tmp_path, name, given):
    (tmp_path / name).write_bytes(given)
    with pytest.raises(DatasetError, match=name):
        from_file(tmp_path / name)


@pytest.mark.parametrize(("option", "value"), [("label", "kind"), ("context", 8), ("vocabulary", 8)])
def test_an_option_of_another_kind_of_file_is_refused(archive, option, value):
    with pytest.raises(DatasetError, match=f"{option} is for .*, and does nothing here; remove it"):
        resolve(archive, {option: value})


def test_a_folder_without_a_data_set_says_all_that_it_could_hold(tmp_path):
    (tmp_path / "only").mkdir()
    with pytest.raises(DatasetError, match=r"it needs train/CLASS.*; data set file also takes CLASS/\*\.png"):
        from_file(tmp_path)


def test_no_more_than_the_limit_is_read(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("dtcbench.datasets.reading.LARGEST", 1000)
    packed = tmp_path / "packed.npz"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("x.npy", bytes(100_000))
    assert packed.stat().st_size < 1000
    for path, message in ((packed, r"x\.npy unpacks to 100000 bytes"), (table(tmp_path / "own.csv"), "larger than")):
        with pytest.raises(DatasetError, match=message):
            from_file(path)
    rows = pd.DataFrame({"a": np.zeros(400), "label": ["a", "b"] * 200})
    assert (tmp_path / "own.parquet").write_bytes(b"") == 0
    rows.to_parquet(tmp_path / "own.parquet")
    monkeypatch.setattr("dtcbench.datasets.reading.LARGEST", (tmp_path / "own.parquet").stat().st_size)
    with pytest.raises(DatasetError, match=r"unpacks to 6400 bytes"):
        from_file(tmp_path / "own.parquet")
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "b").mkdir()
    for label in "ab":
        Image.fromarray(IMAGES[0, 0]).save(tmp_path / "images" / label / "0.png")
    monkeypatch.setattr(folders, "LARGEST", 39)
    with pytest.raises(DatasetError, match="its images take more"):
        from_file(tmp_path / "images")


def test_an_array_that_claims_more_than_the_archive_holds_is_refused(archive):
    with zipfile.ZipFile(archive) as held:
        members = {name: held.read(name) for name in held.namelist()}
    members["x.npy"] = members["x.npy"].replace(b"(60, 3), }     ", b"(6000000, 3), }")
    with zipfile.ZipFile(archive, "w") as written:
        for name, bytes_ in members.items():
            written.writestr(name, bytes_)
    with pytest.raises(DatasetError, match=r"own\.npz: cannot be read: ValueError: .*; write it with numpy\.savez"):
        from_file(archive)


def test_what_is_not_there_or_of_no_known_kind_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"away\.npz: no such file or folder"):
        from_file(tmp_path / "away.npz")
    (tmp_path / "own.pkl").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"own\.pkl: ends on none of \.npz, \.csv"):
        from_file(tmp_path / "own.pkl")
    (tmp_path / "own.txt").write_text("ab" * 100)
    with pytest.raises(DatasetError, match="remove test_path"):
        from_file(tmp_path / "own.txt", test_path=tmp_path / "own.txt")


def test_a_pinned_content_is_served_by_the_cache_alone(archive):
    digest = contents.keep(read(archive))
    archive.unlink()
    assert file(path="own.npz", sha256=digest).num_classes == 4


@pytest.mark.parametrize("is_gone", [False, True], ids=["cut", "gone"])
def test_a_damaged_copy_in_the_cache_is_replaced_from_the_data_folder(archive, own_cache, data_root, is_gone):
    digest = contents.keep(read(archive))
    before = file(path="own.npz", sha256=digest).sha256
    [path] = own_cache.rglob("x.npy")
    path.unlink() if is_gone else path.write_bytes(b"")
    with pytest.raises(DatasetError, match=f"no copy with the SHA-256 {digest} was found"):
        file(path="own.npz", sha256=digest)
    data_root.mkdir()
    archive.rename(data_root / "own.npz")
    assert file(path="own.npz", sha256=digest).sha256 == before
    assert contents.kept(digest) is not None


def test_another_content_under_the_name_is_refused_with_both_digests(archive, data_root, tmp_path):
    digest = read(archive).sha256
    data_root.mkdir()
    other = read(saved(data_root / "own.npz", x=X + 1, y=Y)).sha256
    with pytest.raises(DatasetError, match=f"has the SHA-256 {other}, not {digest} as planned"):
        file(path="own.npz", sha256=digest)


@pytest.mark.parametrize("path", ["/etc/passwd", "../own.npz", "a/own.npz", ".."])
def test_a_cell_reads_no_file_outside_the_data_folder(data_root, path):
    with pytest.raises(DatasetError, match="goes by its bare name"):
        file(path=path, sha256="0" * 64)


@pytest.mark.parametrize("sha256", ["", "abc", "../" * 21 + "x", "A" * 64])
def test_a_cell_reads_nothing_without_a_digest(archive, data_root, sha256):
    data_root.mkdir()
    archive.rename(data_root / "own.npz")
    with pytest.raises(DatasetError, match="no digest pins it"):
        file(path="own.npz", sha256=sha256)


def test_without_a_file_the_line_to_write_is_shown():
    with pytest.raises(DatasetError, match=r"\{name: file, path: letters\.npz\}"):
        file()


def test_a_cache_that_cannot_be_written_names_the_remedy(archive, own_cache):
    own_cache.write_text("a file where the folder should be")
    with pytest.raises(DatasetError, match="DTCBENCH_CACHE_DIR"):
        contents.keep(read(archive))


def test_the_example_loads_and_its_options_are_checked():
    splits = file(**example())
    assert splits.input_shape == (5, 1, 1)
    with pytest.raises(MisfitError, match="test"):
        datasets.bind("file", {"test": 1.5})


def test_a_content_of_two_formats_is_kept_once(archive, tmp_path, own_cache):
    digests = {contents.keep(read(path)) for path in (archive, table(tmp_path / "own.csv"))}
    assert len(digests) == 1 and len(list((own_cache / "file").iterdir())) == 1


def test_the_digest_covers_shapes_and_parts():
    x, y = np.arange(12.0).reshape(6, 2), np.zeros(6, np.uint8)
    variants = [Content(x, y), Content(x.reshape(6, 1, 2, 1), y), Content(x[:3], y[:3], x[3:], y[3:]), Content(y)]
    assert len({variant.sha256 for variant in variants}) == 4
