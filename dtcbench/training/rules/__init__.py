"""How each operation treats the axes of what it takes and gives."""

from __future__ import annotations

import torch

from dtcbench.training.rules import arithmetic, shapes
from dtcbench.training.tracing import RULES, Call, Rule, tensors, unknown

__all__ = ["arithmetic", "rule_of", "shapes"]


def rule_of(call: Call) -> Rule:
    """The rule for an operation."""
    if next(tensors((call.args, call.kwargs)), None) is None:
        return arithmetic.made
    return RULES.get(call.name) or (arithmetic.pointwise if torch.Tag.pointwise in call.func.tags else unknown)
