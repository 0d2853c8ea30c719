"""Random streams by name: each is derived from what it is for, so none has a state to keep."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, *purpose: int | str) -> int:
    """A 63-bit seed for one purpose, such as `derive(0, epoch, step, "augment")`.

    Different arguments give unrelated seeds (sha256 of their text); the same give the same one, on
    any machine and in any process.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: int | str) -> "torch.Generator":
    """A torch generator on the CPU, seeded by `derive`.

    Always on the CPU: a draw is then the same for a run on a GPU.
    """
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))
