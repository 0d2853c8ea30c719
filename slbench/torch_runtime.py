"""Threads, determinism, precision, seeds and synchronization of torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.deterministic

DETERMINISTIC: Any = torch.utils.deterministic  # declares no attribute


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Use `threads` CPU threads and deterministic algorithms within the block."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # needed for deterministic products on CUDA
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode(), torch.backends.cudnn.allow_tf32
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would import Inductor, some 2 s
    torch.backends.cudnn.allow_tf32 = False  # keep fp32 exact
    fill = DETERMINISTIC.fill_uninitialized_memory
    DETERMINISTIC.fill_uninitialized_memory = False  # 1 to 4 % of a step; no result depends on it
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        torch.backends.cudnn.allow_tf32 = before[2]
        DETERMINISTIC.fill_uninitialized_memory = fill


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return an autocast to bfloat16 for precision "bf16", a disabled one for "fp32"."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def seed_forward(device: torch.device, seed: int) -> None:
    """Seed the draws of a network in one step (stochastic depth) on its device."""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
