"""Subsets of each class, for accuracy over data-set size."""

import hashlib

import numpy as np

from slbench.data.specs import DatasetSpec
from slbench.data.splits import ImageSet
from slbench.rng import derive


def subset(part: ImageSet, spec: DatasetSpec, *, seed: int) -> ImageSet:
    """Return the training images selected by the spec's `fraction` or `per_class`, in their order.

    Images are ranked per class by their digest hashed with the seed, so that a small subset is contained in every
    larger one of the same seed, and seeds draw different subsets.
    """
    if spec.fraction is None and spec.per_class is None:
        return part
    salt = derive(seed, "subset").to_bytes(8, "big")
    draws = [hashlib.sha256(salt + digest).digest() for digest in part.images.image_digests()]
    selected = []
    for label in np.unique(part.labels):
        rows = sorted(np.flatnonzero(part.labels == label).tolist(), key=lambda row: draws[row])
        selected += rows[: spec.subset_of(len(rows))]
    return part.take(np.array(sorted(selected), dtype=np.int64))
