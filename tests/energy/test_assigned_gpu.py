"""The GPU that a cell is assigned, from the environment that CUDA reads."""

import pynvml
import pytest

from dtcbench.energy.nvml import assigned_gpu, assigned_gpus


@pytest.fixture
def two(fake_nvml):
    fake_nvml.uuids = ["GPU-aaaa", "GPU-abbb"]
    return fake_nvml


def given(visible=None, **environment):
    return assigned_gpu(environment if visible is None else {"CUDA_VISIBLE_DEVICES": visible, **environment})


@pytest.mark.parametrize(
    ("visible", "uuid"),
    [
        (None, "GPU-aaaa"),
        ("0", "GPU-aaaa"),
        ("1", "GPU-abbb"),
        ("1,0", "GPU-abbb"),
        ("GPU-abbb", "GPU-abbb"),
        ("GPU-ab", "GPU-abbb"),
        ("GPU-abbb,GPU-aaaa", "GPU-abbb"),
    ],
)
def test_indices_and_uuids_or_their_beginnings_name_a_board(two, visible, uuid):
    found = given(visible)
    assert (found.board.uuid, found.division) == (uuid, None)


@pytest.mark.parametrize(
    ("visible", "message"),
    [
        ("", "hides every GPU"),
        ("-1", "hides every GPU"),
        ("NoDevFiles", "hides every GPU"),
        ("2", "is '2', which NVML does not show; NVML shows 0: GPU-aaaa, 1: GPU-abbb"),
        ("first", "is 'first'"),
        ("GPU-a", "names GPU-a, and 2 GPUs begin so; NVML shows 0: GPU-aaaa, 1: GPU-abbb"),
        ("GPU-c", "names GPU-c, and 0 GPUs begin so"),
    ],
)
def test_what_names_no_single_board_is_an_error_with_the_name(two, visible, message):
    assert message in given(visible).reason


def test_an_index_among_different_gpus_needs_cuda_to_count_by_the_bus(two):
    two.names = {"GPU-abbb": "NVIDIA T4"}
    assert "set CUDA_DEVICE_ORDER=PCI_BUS_ID" in given("1").reason
    assert given("1", CUDA_DEVICE_ORDER="PCI_BUS_ID").board.uuid == "GPU-abbb"
    assert given("GPU-ab").board.uuid == "GPU-abbb"


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [(None, ["GPU-aaaa", "GPU-abbb"]), ("1, 0", ["GPU-abbb", "GPU-aaaa"]), ("GPU-aa,GPU-ab", ["GPU-aaaa", "GPU-abbb"])],
)
def test_several_boards_are_the_first_ones_in_order(two, visible, uuids):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert [gpu.board.uuid for gpu in assigned_gpus(environment, 2)] == uuids
    assert [gpu.board.uuid for gpu in assigned_gpus(environment, 1)] == uuids[:1]


@pytest.mark.parametrize(
    ("visible", "message"),
    [("0", "shows 1 GPUs to a cell that asks for more: 0"), ("0,7", "GPU is '7'"), ("", "hides")],
)
def test_if_one_of_several_boards_is_not_known_none_is(two, visible, message):
    assert message in assigned_gpus({"CUDA_VISIBLE_DEVICES": visible}, 2).reason


@pytest.mark.parametrize("name", ["MIG-1234", "MIG-GPU-abbb/1/0"])
def test_a_mig_instance_is_a_part_of_its_board(two, name):
    two.instances = {"MIG-1234": "GPU-abbb"}
    found = given(name)
    assert found.board.uuid == "GPU-abbb"
    assert "MIG instance" in found.division


def test_a_board_that_mig_divides_is_a_part_however_it_was_named(two):
    two.mig_mode = [1, 1]
    assert "MIG divides the GPU" in given("0").division


def test_a_lost_gpu_does_not_shift_the_others(two):
    two.fails["index 0"] = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    assert given("1").board.uuid == "GPU-abbb"
    assert "which NVML does not show; NVML shows 1: GPU-abbb; GPU 0: GPU is lost" in given("0").reason


def test_without_nvml_there_is_its_reason(two):
    two.fails["init"] = pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    assert "Driver Not Loaded" in given("0").reason
