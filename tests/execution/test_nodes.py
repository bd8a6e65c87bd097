"""What nodes say of themselves, and where they must not differ."""

import platform

import torch

from dtcbench.execution.cluster import MUST_AGREE, Node, describe_node, disagreements


def node(name, **versions):
    return Node(name, "CPU", (), {}, versions)


def test_a_node_tells_what_it_has():
    here = describe_node()
    assert here.name == platform.node()
    assert here.versions["torch"] == torch.__version__
    assert here.data["digits"] == "inside scikit-learn"
    assert here.gpus


def test_versions_that_differ_are_told_with_who_has_which():
    nodes = [node("a", torch="2.13"), node("b", torch="2.12"), node("c", torch="2.13"), node("d")]
    assert disagreements(nodes, ["torch"]) == ["torch: 2.12 on b, 2.13 on a, c, not installed on d"]
    assert disagreements(nodes[::2], MUST_AGREE) == []


def test_many_nodes_are_not_all_named():
    nodes = [node("x", torch="1"), *(node(f"n{i}", torch="2") for i in range(9))]
    assert disagreements(nodes, ["torch"]) == ["torch: 1 on x, 2 on n0, n1, n2 and 6 more"]
