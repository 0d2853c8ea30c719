"""Sort images of a published archive without holding all of them in memory."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from slbench.data.image_arrays import FileArray, ImageArrays, OpenFile
from slbench.data.images import Pixels
from slbench.data.splits import ImageSet, PartName, Splits, in_content_order


class Sample(NamedTuple):
    """Image of an archive."""

    part: PartName
    pixels: Pixels
    label: int


class Spool:
    """Images of one size in an unnamed temporary file, which disappears with its process."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.shape: tuple[int, ...] = ()
        self.labels: list[int] = []

    def add(self, sample: Sample) -> None:
        self.shape = self.shape or sample.pixels.shape
        assert sample.pixels.shape == self.shape
        self.file.write(sample.pixels.tobytes())
        self.labels.append(sample.label)

    def part(self) -> ImageSet:
        """Return all images in content order, on the disk."""
        self.file.flush()
        saved = (len(self.labels), *(self.shape or (1, 1, 1)))
        images = ImageArrays.wrap(
            FileArray(OpenFile(self.file), "the images being put in order", 0, saved, channels_first=True)
        )
        return in_content_order(ImageSet(images, np.array(self.labels, dtype=np.int64)))


def in_order(samples: Iterable[Sample], folder: Path) -> Splits:
    """Return the samples of a set as splits on the disk.

    Args:
        folder: holds unnamed files as large as all images.
    Raises:
        OSError: if there is no space or no permission.
    """
    with tempfile.TemporaryFile(dir=folder) as first, tempfile.TemporaryFile(dir=folder) as second:
        spools = {"train": Spool(first), "test": Spool(second)}
        for sample in samples:
            spools[sample.part].add(sample)
        return Splits(spools["train"].part(), spools["test"].part())
