"""CIFAR-10 and CIFAR-100 from their published archives, the version for Python.

Source: www.cs.toronto.edu/~kriz/cifar.html: pickled dicts; a row of `data` is an image of 32 x 32 px, its red
channel first, then green, then blue, each row by row.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from slbench.data.sets.archives import members, unpickled
from slbench.data.splits import PartName, Sample
from slbench.errors import InputError


def load_cifar10(archive: Path) -> Iterator[Sample]:
    """Yield 50,000 training and 10,000 test images, (n, 3, 32, 32)."""
    train: dict[str, PartName] = {f"data_batch_{number}": "train" for number in range(1, 6)}
    return read_batches(archive, {**train, "test_batch": "test"}, "labels")


def load_cifar100(archive: Path) -> Iterator[Sample]:
    """Yield 50,000 training and 10,000 test images, (n, 3, 32, 32), with the 100 fine labels."""
    return read_batches(archive, {"train": "train", "test": "test"}, "fine_labels")


def read_batches(archive: Path, parts: dict[str, PartName], labels: str) -> Iterator[Sample]:
    """Yield the images of some files of an archive; files are named without their folder."""
    missing = list(parts)
    for name, content in members(archive, lambda name: PurePosixPath(name).name in missing):
        missing.remove(PurePosixPath(name).name)
        images, numbers = images_of(archive, unpickled(content, f"{archive}: {name}"), labels)
        for image, number in zip(images, numbers, strict=True):
            yield Sample(parts[PurePosixPath(name).name], image, number)
    if missing:
        raise InputError(f"{archive}: has no file '{missing[0]}'")


def images_of(archive: Path, batch: Any, labels: str) -> tuple[np.ndarray, list[int]]:
    """Return images, (n, 3, 32, 32), and labels of one file."""
    data, numbers = (batch.get(key) for key in ("data", labels)) if isinstance(batch, dict) else (None, None)
    if not isinstance(data, np.ndarray) or not isinstance(numbers, list) or set(map(type, numbers)) - {int}:
        raise InputError(f"{archive}: not laid out as CIFAR is: no array 'data' or no list of numbers '{labels}'")
    if data.ndim != 2 or data.shape[1] != 3 * 32 * 32:
        raise InputError(f"{archive}: not laid out as CIFAR is: 'data' of shape {data.shape}")
    images = data.reshape(-1, 3, 32, 32)
    if images.dtype != np.uint8 or len(images) != len(numbers):
        raise InputError(f"{archive}: {len(images)} images of {images.dtype} and {len(numbers)} labels")
    return images, numbers
