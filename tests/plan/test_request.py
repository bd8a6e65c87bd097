"""What a cell asks for, and which nodes have it."""

import pytest

from dtcbench.plan.request import Request, shown

SMALL = {"CPU": 4.0, "memory": 1e9}
H200 = {"CPU": 16.0, "GPU": 8.0, "accelerator_type:H200": 1.0}
T4 = {"CPU": 8.0, "GPU": 1.0, "accelerator_type:T4": 1.0}


@pytest.mark.parametrize(
    ("request_", "small", "h200", "t4"),
    [
        (Request(1), 4, 16, 8),
        (Request(3), 1, 5, 2),
        (Request(1, 1), 0, 8, 1),
        (Request(4, 1), 0, 4, 1),
        (Request(1, 0.5), 0, 16, 2),
        (Request(1, 1, "H200"), 0, 8, 0),
        (Request(1, 1, "A100"), 0, 0, 0),
        (Request(64), 0, 0, 0),
    ],
)
def test_a_node_runs_as_many_cells_as_its_scarcest_resource_allows(request_, small, h200, t4):
    assert [request_.cells_on(node) for node in (SMALL, H200, T4)] == [small, h200, t4]


def test_a_message_lists_every_node_with_its_kind_of_gpu():
    assert shown([SMALL, H200]) == "4 CPUs and 0 GPUs; 16 CPUs and 8 GPUs (H200)"
    assert shown([]) == "no node"
    assert str(Request(2, 1, "H200")) == "2 CPUs and 1 GPUs of kind H200"
