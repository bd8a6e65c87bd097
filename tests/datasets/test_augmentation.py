"""Crops and flips: the images' own pixels, moved as the generator alone decides."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import pad

from dtcbench.datasets.augmentation import crop_flip


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def numbered(b, channels, height, width):
    """Images in which no two pixels are equal and none is zero."""
    return torch.arange(1.0, 1 + b * channels * height * width).view(b, channels, height, width)


def candidates(image):
    """The 9 × 9 × 2 images that may become of one, by (top, left, mirrored)."""
    height, width = image.shape[1:]
    padded = pad(image, (4, 4, 4, 4))
    for top in range(9):
        for left in range(9):
            crop = padded[:, top : top + height, left : left + width]
            yield (top, left, False), crop
            yield (top, left, True), crop.flip(2)


def place(image, augmented):
    """Which of its candidates an augmented image is."""
    [found] = [place for place, candidate in candidates(image) if torch.equal(candidate, augmented)]
    return found


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), height=st.integers(9, 12), width=st.integers(9, 12))
def test_every_image_is_one_crop_of_itself_padded_with_zeros(seed, height, width):
    x = numbered(3, 2, height, width)
    augmented = crop_flip(x, seeded(seed))
    assert augmented.shape == x.shape
    for image, became in zip(x, augmented, strict=True):
        place(image, became)


def test_all_places_are_equally_likely_and_half_are_mirrored():
    x = numbered(1, 1, 9, 9).expand(4000, 1, 9, 9)
    augmented = crop_flip(x, seeded(1))
    by_image = {candidate.numpy().tobytes(): place for place, candidate in candidates(x[0])}
    tops, lefts, mirrored = zip(*(by_image[image.numpy().tobytes()] for image in augmented), strict=True)
    for offsets in (tops, lefts):
        counts = torch.bincount(torch.tensor(offsets), minlength=9)
        assert (counts - 4000 / 9).abs().max() < 5 * (4000 / 9) ** 0.5
    assert abs(sum(mirrored) - 2000) < 5 * 1000**0.5
    assert len(set(zip(tops, lefts, mirrored, strict=True))) == 162


def test_equal_generators_give_equal_batches_and_move_on_equally():
    x = torch.randn(16, 3, 32, 32, generator=seeded(0))
    one, two = seeded(9), seeded(9)
    assert torch.equal(crop_flip(x, one), crop_flip(x, two))
    second = crop_flip(x, one)
    assert torch.equal(second, crop_flip(x, two))
    assert not torch.equal(second, crop_flip(x, seeded(9)))


def test_the_global_generator_is_neither_read_nor_moved():
    x = torch.randn(8, 3, 32, 32, generator=seeded(0))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = crop_flip(x, seeded(9))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(crop_flip(x, seeded(9)), first)


def test_the_batch_it_is_given_stays_as_it_was():
    x = numbered(4, 3, 10, 10)
    before = x.clone()
    augmented = crop_flip(x, seeded(3))
    assert torch.equal(x, before)
    assert augmented.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_the_type_is_kept(dtype):
    assert crop_flip(torch.ones(2, 3, 32, 32, dtype=dtype), seeded(0)).dtype == dtype


def test_the_draws_for_a_seed_stay_what_they_are():
    """Published cells hang on them: a change here changes results under old cell keys."""
    x = numbered(4, 1, 9, 9)
    places = [place(image, became) for image, became in zip(x, crop_flip(x, seeded(42)), strict=True)]
    assert places == [(6, 0, False), (5, 2, True), (7, 7, False), (4, 5, False)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_batch_is_augmented_as_on_the_cpu():
    x = torch.randn(16, 3, 32, 32, generator=seeded(0))
    augmented = crop_flip(x.cuda(), seeded(5))
    assert augmented.is_cuda
    assert torch.equal(augmented.cpu(), crop_flip(x, seeded(5)))
