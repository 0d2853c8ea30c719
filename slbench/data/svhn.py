"""Street View House Numbers, cropped digits, from the published Matlab files.

Source: ufldl.stanford.edu/housenumbers: X is (32, 32, 3, n), y is (n, 1), and the digit 0 has label 10.
"""

from pathlib import Path

import numpy as np

from slbench.data.splits import Part, Splits, in_content_order
from slbench.errors import InputError


def load_svhn(train: Path, test: Path) -> Splits:
    """73,257 and 26,032 images, (n, 3, 32, 32), labelled by their digit."""
    return Splits(read_digits(train), read_digits(test))


def read_digits(path: Path) -> Part:
    import scipy.io

    try:
        arrays = scipy.io.loadmat(path, variable_names=["X", "y"])
        images, labels = arrays["X"].transpose(3, 2, 0, 1), arrays["y"].reshape(-1).astype(np.int64)
    except Exception as error:  # a damaged file makes scipy raise anything
        raise InputError(f"{path}: not laid out as SVHN is, or damaged: {error}") from error
    if images.dtype != np.uint8 or len(images) != len(labels) or ((labels < 1) | (labels > 10)).any():
        raise InputError(f"{path}: not laid out as SVHN is: images of {images.dtype}, labels that are not 1 to 10")
    return in_content_order(Part(np.ascontiguousarray(images), labels % 10))
