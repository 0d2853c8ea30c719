"""Other splits of a data set: which images validate, and which test, drawn by a seed."""

import hashlib
from collections.abc import Mapping

import numpy as np

from slbench.data.images.source import ImageSource, InMemoryImages, JoinedReader, OnDiskImages, Rows
from slbench.data.splits import ImageSet, Labels, Splits, content_order
from slbench.rng import derive


def resplit(splits: Splits, *, seed: int, test: bool) -> Splits:
    """Return the same images with other validation images, stratified, as many of each class as before.

    Images are drawn by the hash of seed and image, so that neither their order nor the machine matters.

    Args:
        seed: 1 or more.
        test: also draw which images test.
    """
    train, testing, held_out = splits.train, splits.test, splits.held_out
    of_validation = counts(train.labels[held_out])
    if test:
        pool = ImageSet(joined(train.images, testing.images), np.concatenate([train.labels, testing.labels]))
        digests = pool.images.image_digests()
        chosen = drawn(digests, pool.labels, counts(testing.labels), seed=seed, purpose="test split")
        rest = np.setdiff1d(np.arange(len(pool)), chosen)
        train, testing = (
            pool.take(rows[content_order([digests[row] for row in rows], pool.labels[rows])]) for rows in (rest, chosen)
        )
    validation = drawn(train.images.image_digests(), train.labels, of_validation, seed=seed, purpose="validation split")
    return Splits(train, testing, validation=validation)


def counts(labels: Labels) -> dict[int, int]:
    """Return the number of images of each class."""
    classes, numbers = np.unique(labels, return_counts=True)
    return dict(zip(classes.tolist(), numbers.tolist(), strict=True))


def drawn(digests: list[bytes], labels: Labels, wanted: Mapping[int, int], *, seed: int, purpose: str) -> Rows:
    """Return the rows, ascending, of as many images of each class as wanted.

    Args:
        purpose: name of the random stream.
    """
    salt = derive(seed, purpose).to_bytes(8, "big")
    draws = [hashlib.sha256(salt + digest).digest() for digest in digests]
    rows = list[int]()
    for label, number in wanted.items():
        rows += sorted(np.flatnonzero(labels == label).tolist(), key=lambda row: draws[row])[:number]
    return np.array(sorted(rows), dtype=np.int64)


def joined(one: ImageSource, other: ImageSource) -> ImageSource:
    """Return the images of two sources, both in memory or both on the disk, as one."""
    if isinstance(one, InMemoryImages) and isinstance(other, InMemoryImages):
        return InMemoryImages(np.concatenate([one.array, other.array]))
    assert isinstance(one, OnDiskImages) and isinstance(other, OnDiskImages) and one.size == other.size
    assert one.digests is not None and other.digests is not None, "images on the disk without digests"
    reader = JoinedReader(one.reader, other.reader)
    rows = np.concatenate([one.rows, other.rows + one.reader.shape[0]])
    return OnDiskImages(reader, rows, np.concatenate([one.digests, other.digests]), size=one.size)
