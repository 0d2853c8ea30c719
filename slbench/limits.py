"""Limits on what is read or computed without a question; a variable of the environment changes each.

Variables and not flags, as they hold for every command on a machine and reach the worker processes of a grid.
"""

import math
import os
from dataclasses import dataclass

from slbench.errors import InputError
from slbench.text import shown


@dataclass(frozen=True)
class Limit:
    """A limit, and the variable that changes it."""

    variable: str
    default: int

    @property
    def value(self) -> int:
        """The limit now. Raises InputError if the variable is not a number from 1."""
        text = os.environ.get(self.variable, "").strip()
        try:
            value = float(text or self.default)
        except ValueError:
            value = math.nan
        if not 1 <= value < math.inf:
            raise InputError(f"{self.variable}: must be a number from 1, such as 2e9 (got {shown(text)})")
        return int(value)


IMAGE_PIXELS = Limit("SLBENCH_MAX_IMAGE_PIXELS", 64_000_000)  # of an image file; more is a mistake or a bomb
ARCHIVE_BYTES = Limit("SLBENCH_MAX_ARCHIVE_BYTES", 2 * 2**30)  # unpacked; the largest, Tiny-ImageNet, has 0.25 GB
NETWORK_MACS = Limit("SLBENCH_MAX_MACS", 10**13)  # multiply-adds per image; ViT-L/16 on 224 px has 6e10
