"""Street View House Numbers, cropped digits, from the published Matlab files.

Source: ufldl.stanford.edu/housenumbers: X is (32, 32, 3, n), y is (n, 1), and the digit 0 has label 10.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from slbench.data.splits import PartName, Sample
from slbench.errors import InputError, unreadable
from slbench.files import check_regular

MAX_IMAGES = 1_000_000  # of a file; `train` has 73,257


def load_svhn(train: Path, test: Path) -> Iterator[Sample]:
    """Yield 73,257 training and 26,032 test images, (n, 3, 32, 32), labelled by their digit."""
    yield from read_digits(train, "train")
    yield from read_digits(test, "test")


def read_digits(path: Path, part: PartName) -> Iterator[Sample]:
    import scipy.io

    try:
        check_regular(path.stat().st_mode, path)
        check_headers(scipy.io.whosmat(path))
        arrays = scipy.io.loadmat(path, variable_names=["X", "y"])
        images, labels = arrays["X"].transpose(3, 2, 0, 1), arrays["y"].reshape(-1).astype(np.int64)
    except Exception as error:  # scipy can raise anything on a damaged file
        if isinstance(error, OSError) and error.filename:
            raise unreadable(path, error) from error
        raise InputError(f"{path}: not laid out as SVHN is, or damaged: {error}") from error
    if images.dtype != np.uint8 or len(images) != len(labels) or ((labels < 1) | (labels > 10)).any():
        raise InputError(f"{path}: not laid out as SVHN is: images of {images.dtype}, labels that are not 1 to 10")
    for image, label in zip(images, labels.tolist(), strict=True):
        yield Sample(part, np.ascontiguousarray(image), label % 10)


def check_headers(headers: Sequence[tuple[str, tuple[int, ...], str]]) -> None:
    """Raise ValueError unless name, shape and type of the arrays of a Matlab file are those of images and labels."""
    arrays = {name: (shape, kind) for name, shape, kind in headers}
    (*image, count), kind = arrays["X"]
    if len(headers) > len(arrays) or image != [32, 32, 3] or kind != "uint8" or count > MAX_IMAGES:
        raise ValueError(f"X is {kind} of shape {arrays['X'][0]}")
    if math.prod(arrays["y"][0]) != count:
        raise ValueError(f"y has shape {arrays['y'][0]} for {count} images")
