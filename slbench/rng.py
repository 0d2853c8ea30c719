"""Random streams derived from a seed and a purpose; no state is shared or stored."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, *purpose: int | str) -> int:
    """Return a 63-bit seed for one purpose: `derive(0, epoch, step, "augment")`.

    It is a sha256 of the arguments, the same on any machine and in any process.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: int | str) -> "torch.Generator":
    """Return a torch generator on the CPU, seeded by `derive`; runs on a GPU then draw the same values."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))
