"""What a process must be set to before a cell's numbers mean the same in every process."""

from __future__ import annotations

import os

import torch

_VECTOR_MATH = (torch.sqrt, torch.exp, torch.log, torch.tanh, torch.erf, torch.sin, torch.cos)
"""Functions that torch hands to MKL's vector mathematics on the CPU."""


def make_deterministic(threads: int) -> None:
    """Set this process up so that a cell gives the same bits whatever ran here before, or beside it.

    Called before every cell: workers are reused, and nothing is assumed of the state they are in.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    # MKL chooses each function's kernel at its first call. When two threads make that call at once, one
    # of them can get another kernel, and now and then a process trains to other bits from Adam's first
    # square root on. One element is computed by one thread.
    for function in _VECTOR_MATH:
        function(torch.ones(1))
