"""The data set that ships inside the package."""

from collections.abc import Iterator
from importlib.resources import as_file, files

import numpy as np

from slbench.data.images.source import Images
from slbench.data.own.npz_file import open_npz
from slbench.data.splits import PARTS, Sample

PADDING = 2  # px on each side: 28 x 28 becomes 32 x 32


def load_fashion_mnist_12k() -> Iterator[Sample]:
    """Yield 10,000 training and 2,000 test images of Fashion-MNIST, (1, 32, 32) grey.

    Source: arXiv:1708.07747; the subset is stratified.
    """
    with as_file(files("slbench.data") / "fashion-mnist-12k.npz") as path, open_npz(path) as file:
        for part in PARTS:
            labels = file.read(f"{part}_labels").tolist()
            for image, label in zip(padded(file.read(f"{part}_images")), labels, strict=True):
                yield Sample(part, image, label)


def padded(images: np.ndarray) -> Images:
    """Return grey images (n, 28, 28) with a zero border and a channel axis."""
    border = ((0, 0), (PADDING, PADDING), (PADDING, PADDING))
    return np.pad(images, border)[:, None]
