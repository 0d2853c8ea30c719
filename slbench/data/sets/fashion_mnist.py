"""Fashion-MNIST from its published files.

Source: the idx format of yann.lecun.com/exdb/mnist: two zero bytes, 8 for unsigned bytes, the number of axes, their
lengths as 32-bit integers, highest byte first, then the bytes.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slbench.data.sets.archives import unpacked
from slbench.data.sets.bundled import padded
from slbench.data.splits import PartName, Sample
from slbench.errors import InputError


def load_fashion_mnist(
    train_images: Path, train_labels: Path, test_images: Path, test_labels: Path
) -> Iterator[Sample]:
    """Yield 60,000 training and 10,000 test images, (n, 1, 32, 32) grey, padded from 28 px."""
    yield from read_part("train", train_images, train_labels)
    yield from read_part("test", test_images, test_labels)


def read_part(part: PartName, images: Path, labels: Path) -> Iterator[Sample]:
    """Yield the images of two files."""
    pixels, numbers = read_idx(images, 3), read_idx(labels, 1).tolist()
    if len(pixels) != len(numbers):
        raise InputError(f"{images}: {len(pixels)} images; {labels} has {len(numbers)} labels")
    for image, label in zip(padded(pixels), numbers, strict=True):
        yield Sample(part, image, label)


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Return the array of a gzipped idx file with `axes` axes. Raises InputError for anything else."""
    content = unpacked(path)
    start = 4 + 4 * axes
    if len(content) < start or content[:4] != bytes([0, 0, 8, axes]):
        raise InputError(f"{path}: not an idx file of bytes with {axes} axes")
    shape = tuple(np.frombuffer(content, dtype=">u4", count=axes, offset=4).tolist())
    if len(content) - start != math.prod(shape):
        raise InputError(f"{path}: {len(content) - start} bytes; shape {shape} needs {math.prod(shape)}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
