"""CIFAR-10: read from its archive without extracting it; anything else is refused."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from dtcbench.datasets import cifar_10 as room
from dtcbench.datasets.augmentation import crop_flip
from dtcbench.datasets.cifar_10 import MEMBERS, SOURCE, cifar_10, decode, origin
from dtcbench.datasets.splits import DatasetError
from dtcbench.registry import datasets

EACH = 2
SHAPE = (6 * EACH, 3073)


def some_records():
    records = np.random.default_rng(3).integers(0, 256, SHAPE, dtype=np.uint8)
    records[:, 0] = np.arange(len(records)) % 10
    return records


RECORDS = some_records()
CONTENT = {name: part.tobytes() for name, part in zip(MEMBERS, np.split(RECORDS, 6), strict=True)}


def archive(members, compress=gzip.compress):
    """A .tar.gz of members given as bytes or as TarInfo, in this order."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return compress(packed.getvalue())


def link(name, to):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, to
    return member


@pytest.fixture
def small(monkeypatch):
    """CIFAR-10's archive replaced by a small one: its bytes, pinned."""
    packed = archive(CONTENT.items())
    pin = replace(SOURCE.pin, shape=SHAPE, sha256=hashlib.sha256(packed).hexdigest())
    monkeypatch.setattr(room, "SOURCE", replace(SOURCE, pin=pin))
    return packed


@pytest.fixture
def data_file(data_root, small):
    path = data_root / "cifar-10" / "cifar-10-binary.tar.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(small)
    return path


@pytest.fixture
def decoded(tmp_path):
    """Decodes an archive of these members, given in order."""

    def decoded(members, **how):
        path = tmp_path / "hostile.tar.gz"
        path.write_bytes(archive(members, **how))
        return decode(path, SHAPE)

    return decoded


def test_cifar_10_is_registered_with_augmentation_as_its_option():
    assert datasets.get("cifar-10") is cifar_10
    options = datasets.options("cifar-10")
    assert options().model_dump() == {"augmentation": "crop-flip"}
    with pytest.raises(ValidationError):
        options(augmentation="cutout")


def test_the_archive_of_the_data_folder_becomes_images_and_labels(data_file):
    splits = cifar_10()
    records = np.concatenate([splits.train_x.reshape(-1, 3072), splits.test_x.reshape(-1, 3072)])
    np.testing.assert_array_equal(records, RECORDS[:, 1:])
    np.testing.assert_array_equal(np.concatenate([splits.train_y, splits.test_y]), RECORDS[:, 0])
    assert splits.train_x.shape == (5 * EACH, 3, 32, 32)
    assert splits.test_x.shape == (EACH, 3, 32, 32)
    assert splits.num_classes == 10


def test_pixels_are_red_green_blue_planes_row_by_row(data_file):
    pixel = cifar_10().test_x[1, 2, 5, 7]
    assert pixel == RECORDS[5 * EACH + 1, 1 + 2 * 1024 + 5 * 32 + 7]


def test_arrays_are_read_only_views_of_one_mapped_file(data_file):
    splits = cifar_10()
    for array in (splits.train_x, splits.train_y, splits.test_x, splits.test_y):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert not array.flags.owndata


def test_each_channel_has_constants_of_its_own(data_file):
    pixels = cifar_10().pixels
    assert (len(pixels.mean), len(pixels.std), pixels.scale) == (3, 3, 255.0)


def test_training_batches_are_cropped_and_flipped_unless_it_is_turned_off(data_file):
    assert cifar_10().augment is crop_flip
    assert cifar_10(augmentation="none").augment is None


@pytest.mark.parametrize(
    "damaged",
    [lambda packed: packed[:-20], lambda packed: packed[:100], lambda packed: b"", lambda packed: b"<html>"],
    ids=["cut", "header", "empty", "page"],
)
@pytest.mark.parametrize("loaded_before", [False, True], ids=["first load", "intact cache"])
def test_a_damaged_archive_in_the_data_folder_is_refused_by_name(data_file, small, damaged, loaded_before):
    if loaded_before:
        cifar_10()
    data_file.write_bytes(damaged(small))
    with pytest.raises(DatasetError, match="not the published file") as refusal:
        cifar_10()
    assert str(data_file) in str(refusal.value)
    assert "move it away" in str(refusal.value)


def test_a_hostile_archive_is_refused_before_it_is_opened(data_file, monkeypatch):
    data_file.write_bytes(archive([*CONTENT.items(), ("../evil", b"evil")]))
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(DatasetError, match="not the published file"):
        cifar_10()


def test_members_come_in_any_order_among_others(decoded):
    shuffled = [("readme.html", b"<html>"), *reversed(CONTENT.items()), ("batches.meta.txt", b"airplane")]
    np.testing.assert_array_equal(decoded(shuffled), RECORDS)


def test_names_that_point_elsewhere_are_passed_over_and_nothing_is_written(decoded, tmp_path):
    outside = tmp_path.parent / "evil.bin"
    hostile = [
        ("../evil.bin", b"evil"),
        (str(outside), b"evil"),
        ("cifar-10-batches-bin/../../evil.bin", b"evil"),
        ("", link("cifar-10-batches-bin/link", "/etc/passwd")),
    ]
    np.testing.assert_array_equal(decoded([*hostile, *CONTENT.items()]), RECORDS)
    assert [path.name for path in tmp_path.rglob("*")] == ["hostile.tar.gz"]
    assert not outside.exists()


def with_member(name, content):
    return [(known, content if known == name else usual) for known, usual in CONTENT.items()]


FOURTH = MEMBERS[3]
HOSTILE = {
    "longer": (with_member(FOURTH, bytes(EACH * 3073 + 1)), f"{FOURTH} is not a plain file of {EACH * 3073} bytes"),
    "shorter": (with_member(FOURTH, bytes(EACH * 3073 - 1)), f"{FOURTH} is not a plain file"),
    "symbolic link": (with_member(FOURTH, link(FOURTH, "/dev/zero")), f"{FOURTH} is not a plain file"),
    "missing": ([member for member in CONTENT.items() if member[0] != FOURTH], f"lacks {FOURTH}$"),
    "flat names": ([(name.rpartition("/")[2], content) for name, content in CONTENT.items()], f"lacks {MEMBERS[0]}, "),
    "empty": ([], "lacks"),
    "label": (with_member(FOURTH, bytes(3073) + bytes([10]) + bytes(3072)), "has a label 10; CIFAR-10's are 0 to 9"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_an_archive_that_is_not_cifar_10_s_is_refused(decoded, hostile):
    members, complaint = HOSTILE[hostile]
    with pytest.raises(DatasetError, match=complaint):
        decoded(members)


@pytest.mark.parametrize("size", [0.2, 0.5, 0.9])
def test_a_truncated_stream_is_refused(decoded, size):
    def cut(tar):
        packed = gzip.compress(tar)
        return packed[: int(len(packed) * size)]

    with pytest.raises(DatasetError, match="cannot be unpacked"):
        decoded(CONTENT.items(), compress=cut)


def test_one_download_serves_all_four_arrays_and_every_later_load(small, tmp_path, mirrors):
    (tmp_path / "archive").write_bytes(small)
    second = SOURCE.urls[1]
    mirrors.files[second] = tmp_path / "archive"
    cifar_10()
    assert cifar_10().train_y.tolist() == RECORDS[: 5 * EACH, 0].tolist()
    assert mirrors.asked == list(SOURCE.urls)


def test_origin_tells_where_the_archive_is(data_file, own_cache, monkeypatch):
    assert origin() == f"folder {data_file.parent}"
    monkeypatch.delenv("DTCBENCH_DATA_DIR")
    assert origin().startswith("download from www.cs.toronto.edu")
