"""CIFAR-10 and CIFAR-100 from their published archives, the version for Python.

Source: www.cs.toronto.edu/~kriz/cifar.html: pickled dicts; a row of `data` is an image of 32 x 32 px, its red
channel first, then green, then blue, each row by row.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from slbench.data.archives import members, unpickled
from slbench.data.splits import Part, Splits, in_content_order
from slbench.errors import InputError


def load_cifar10(archive: Path) -> Splits:
    """50,000 and 10,000 images, (n, 3, 32, 32)."""
    return read_batches(archive, [f"data_batch_{number}" for number in range(1, 6)], ["test_batch"], "labels")


def load_cifar100(archive: Path) -> Splits:
    """50,000 and 10,000 images, (n, 3, 32, 32), with the 100 fine labels."""
    return read_batches(archive, ["train"], ["test"], "fine_labels")


def read_batches(archive: Path, train: list[str], test: list[str], labels: str) -> Splits:
    """Splits from files of an archive, which are named without their folder."""
    wanted = {*train, *test}
    batches: dict[str, Any] = {}
    for name, content in members(archive, lambda name: PurePosixPath(name).name in wanted):
        batches[PurePosixPath(name).name] = unpickled(content, f"{archive}: {name}")
    missing = [name for name in (*train, *test) if name not in batches]
    if missing:
        raise InputError(f"{archive}: has no file '{missing[0]}'")
    return Splits(
        joined(archive, [batches[name] for name in train], labels),
        joined(archive, [batches[name] for name in test], labels),
    )


def joined(archive: Path, batches: list[Any], labels: str) -> Part:
    try:
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        numbers = np.concatenate([np.asarray(batch[labels], dtype=np.int64) for batch in batches])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{archive}: not laid out as CIFAR is: {error}") from error
    if images.dtype != np.uint8 or len(images) != len(numbers):
        raise InputError(f"{archive}: {len(images)} images of {images.dtype} and {len(numbers)} labels")
    return in_content_order(Part(images, numbers))
