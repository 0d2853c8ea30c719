"""Street View House Numbers, cropped digits, from the published Matlab files.

Source: ufldl.stanford.edu/housenumbers: X is (32, 32, 3, n), y is (n, 1), and the digit 0 has label 10.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slbench.data.splits import PartName, Sample
from slbench.errors import InputError


def load_svhn(train: Path, test: Path) -> Iterator[Sample]:
    """Yield 73,257 training and 26,032 test images, (n, 3, 32, 32), labelled by their digit."""
    yield from read_digits(train, "train")
    yield from read_digits(test, "test")


def read_digits(path: Path, part: PartName) -> Iterator[Sample]:
    import scipy.io

    try:
        arrays = scipy.io.loadmat(path, variable_names=["X", "y"])
        images, labels = arrays["X"].transpose(3, 2, 0, 1), arrays["y"].reshape(-1).astype(np.int64)
    except Exception as error:  # scipy can raise anything on a damaged file
        raise InputError(f"{path}: not laid out as SVHN is, or damaged: {error}") from error
    if images.dtype != np.uint8 or len(images) != len(labels) or ((labels < 1) | (labels > 10)).any():
        raise InputError(f"{path}: not laid out as SVHN is: images of {images.dtype}, labels that are not 1 to 10")
    for image, label in zip(images, labels.tolist(), strict=True):
        yield Sample(part, np.ascontiguousarray(image), label % 10)
