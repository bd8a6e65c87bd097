"""Equal numbers everywhere: how a process must be set up, and the random generators of a cell.

Each generator derives from the cell's seed and a purpose, so that no draw depends on another purpose's draws, on
scheduling, or on a global state.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import torch

_VECTOR_MATH = (torch.sqrt, torch.exp, torch.log, torch.tanh, torch.erf, torch.sin, torch.cos)
"""Functions that torch hands to MKL's vector mathematics on the CPU."""
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_PRECISIONS = (
    "backends",
    "backends.cuda.matmul",
    "backends.cudnn",
    "backends.cudnn.conv",
    "backends.cudnn.rnn",
    "backends.mkldnn",
    "backends.mkldnn.matmul",
    "backends.mkldnn.conv",
    "backends.mkldnn.rnn",
)
"""Parts of torch that each have an `fp32_precision`, from torch 2.9 on."""


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Set this process up by `make_deterministic` while the context lasts.

    Afterwards it is as it was before, its global random generators included.
    """
    with ExitStack() as stack:
        for restore in _restorers():
            stack.callback(restore)
        make_deterministic(threads)
        yield


def make_deterministic(threads: int) -> None:
    """Set this process up so that a cell gives the same bits, whatever ran here before or runs at the same time.

    Called before every cell: workers are reused, and may be in any state.
    """
    os.environ.setdefault(_CUBLAS, ":4096:8")
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


@contextmanager
def tf32() -> Iterator[None]:
    """On a GPU, products of float32 matrices and convolutions in TF32 while the context lasts."""
    # Torch refuses to compute if its older and its newer settings disagree: these are those of `make_deterministic`.
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def _restorers() -> Iterator[Callable[[], object]]:
    """For each setting of this process, a function that restores its present value; call them in reverse order."""
    yield partial(_set_variable, _CUBLAS, os.environ.get(_CUBLAS))
    yield partial(
        torch.use_deterministic_algorithms,
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    yield partial(torch.set_default_dtype, torch.get_default_dtype())
    yield partial(torch.set_num_threads, torch.get_num_threads())
    # Torch cannot be asked: it flushes if half of the smallest normal number is 0.
    flushes = torch.tensor(sys.float_info.min, dtype=torch.float64).div(2).item() == 0
    yield partial(torch.set_flush_denormal, flushes)
    yield partial(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
    yield partial(torch.set_rng_state, torch.get_rng_state())  # a cell restores CUDA's by itself
    yield partial(np.random.set_state, np.random.get_state())  # noqa: NPY002 - the global generator is the point
    yield partial(random.setstate, random.getstate())
    for part in _PRECISIONS:
        with suppress(AttributeError):  # an older torch
            backend = attrgetter(part)(torch)
            yield partial(setattr, backend, "fp32_precision", backend.fp32_precision)
    # Setting one of these sets some of the precisions above, which are restored after them. Torch refuses to read
    # them if its user has set only those precisions: then they decide nothing.
    with suppress(RuntimeError):
        yield partial(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    with suppress(RuntimeError):
        yield partial(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """NumPy generator for one purpose, such as `("compress", cycle, group)`, of the cell with `seed`."""
    return np.random.default_rng(_sequence(seed, purpose, indices))


def torch_generator(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """The same for torch, on the CPU."""
    (state,) = _sequence(seed, purpose, indices).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def stream_seed(seed: int, stream: int) -> int:
    """The seed of what another nuisance stream of the cell with `seed` draws anew; stream 0 is the cell's own."""
    if stream == 0:
        return seed
    (state,) = _sequence(seed, "stream", (stream,)).generate_state(1, np.uint64)
    return int(state >> np.uint64(1))


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """The global generators of torch, NumPy and Python set by the cell's seed, and afterwards back as they were.

    Nothing here draws from them, but a plug-in's network may: torch's own layers initialise themselves
    and drop out by the global generator. All GPUs are seeded alike: on several, the same draws come on each.
    """
    numpy_state = np.random.get_state()  # noqa: NPY002 - the global generator is the point
    python_state = random.getstate()
    state = int(_sequence(seed, "global", ()).generate_state(1)[0])
    with torch.random.fork_rng():
        torch.manual_seed(state)
        np.random.seed(state)  # noqa: NPY002
        random.seed(state)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def globals_state(device: torch.device) -> dict[str, Any]:
    """The state of the global generators of torch, NumPy and Python, and of the GPU's if the device is one."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global generator is the point
    return {
        "torch": torch.get_rng_state(),
        "device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "python": random.getstate(),
    }


def set_globals(state: Mapping[str, Any], device: torch.device) -> None:
    """Set the global generators to what `globals_state` gave."""
    torch.set_rng_state(state["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    np.random.set_state(state["numpy"])  # noqa: NPY002
    random.setstate(state["python"])


def _sequence(seed: int, purpose: str, indices: tuple[int, ...]) -> np.random.SeedSequence:
    label = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.SeedSequence([seed, label, *indices])
