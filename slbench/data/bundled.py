"""The data set that ships inside the package."""

from importlib.resources import files

import numpy as np

from slbench.data.splits import Images, ImageSet, Splits, in_content_order

PADDING = 2  # px on each side: 28 x 28 becomes 32 x 32


def load_fashion_mnist_12k() -> Splits:
    """Return Fashion-MNIST: 10,000 training and 2,000 test images, (n, 1, 32, 32) grey.

    Source: arXiv:1708.07747; the subset is stratified.
    """
    with (
        (files("slbench.data") / "fashion-mnist-12k.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        train, test = (
            ImageSet(padded(arrays[f"{name}_images"]), arrays[f"{name}_labels"].astype(np.int64))
            for name in ("train", "test")
        )
    return Splits(in_content_order(train), in_content_order(test))


def padded(images: np.ndarray) -> Images:
    """Return grey images (n, 28, 28) with a zero border and a channel axis."""
    border = ((0, 0), (PADDING, PADDING), (PADDING, PADDING))
    return np.pad(images, border)[:, None]
