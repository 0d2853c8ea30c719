"""Classes and sizes of a user's own images."""

from collections.abc import Iterable, Sequence

import numpy as np
import psutil

from slbench.data.images.source import Size
from slbench.data.specs import MAX_SIDE
from slbench.data.splits import Labels
from slbench.errors import InputError

COPIES = 3  # copies of all images in memory while a run selects its own


def in_class_order(names: Iterable[str]) -> list[str]:
    """Sort class names: as text, or by value if all are numbers, so that 10 follows 9."""
    names = list(names)
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))  # 01 and 1 are two classes
    return sorted(names)


def check_classes(name: str, classes: Sequence[str], labels: Labels, *, undivided: bool = False) -> None:
    """Raise InputError unless there are two classes with enough training images.

    Args:
        name: of the data in errors.
        labels: of the training images.
        undivided: one training image of each class becomes a test image.
    """
    if len(classes) < 2:
        raise InputError(f"{name}: number of classes must be 2 or more (got {len(classes)})")
    counts = np.bincount(labels, minlength=len(classes))
    if (counts < (2 if undivided else 1)).any():
        least = classes[int(np.argmin(counts))]
        raise InputError(f"{name}: class '{least}' has {counts.min()} training images; add images or remove the class")


def common_size(name: str, sizes: Iterable[Size], image_size: Size | None) -> Size:
    """Return the common (height, width), or `image_size` where sizes differ or are too large."""
    distinct = sorted(set(sizes))
    if len(distinct) == 1 and max(distinct[0]) <= MAX_SIDE:
        return distinct[0]
    if image_size is None:
        if len(distinct) == 1:
            raise InputError(f"{name}: {too_large(distinct[0])}; set dataset.image_size")
        examples = " and ".join(f"{height} x {width}" for height, width in (distinct[0], distinct[-1]))
        raise InputError(f"{name}: images of {len(distinct)} sizes ({examples} px, ...); set dataset.image_size")
    return image_size


def too_large(size: Size) -> str:
    """Return the error text for images larger than any network accepts."""
    return f"images of {size[0]} x {size[1]} px; allowed: at most {MAX_SIDE} per side"


def fits(needed: int) -> bool:
    """Return whether `needed` bytes of decoded images fit into free memory."""
    return COPIES * needed <= psutil.virtual_memory().available
