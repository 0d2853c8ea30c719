"""The data set that ships inside the package."""

from importlib.resources import files

import numpy as np

from slbench.data.splits import Labels, Part, Splits, in_content_order

PADDING = 2  # px on each side: 28 x 28 becomes 32 x 32


def load_fashion_mnist_12k() -> Splits:
    """Fashion-MNIST, 10,000 training and 2,000 test images, (n, 1, 32, 32) grey.

    Source: arXiv:1708.07747; the subset is stratified: as many images of each class.
    """
    with (
        (files("slbench.data") / "fashion-mnist-12k.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        return Splits(
            train=padded(arrays["train_images"], arrays["train_labels"]),
            test=padded(arrays["test_images"], arrays["test_labels"]),
        )


def padded(images: np.ndarray, labels: Labels) -> Part:
    """Grey images (n, 28, 28) with a border of zeros and a channel axis, in content order."""
    border = ((0, 0), (PADDING, PADDING), (PADDING, PADDING))
    return in_content_order(Part(np.pad(images, border)[:, None], labels.astype(np.int64)))
