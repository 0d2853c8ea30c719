"""The prepared cache: the images of a data set in canonical order, written once, read in memory or on access.

A cache is a folder: `train_images.npy`, `train_labels.npy`, the same for `test`, and `index.json` with the hash of the
content, the sha256 of each image, and size, modification time and inode of the files. While these three are unchanged
the hash is trusted; otherwise the files are hashed again. Images read on access are also checked one by one.

Files are read with `pread` and not memory-mapped: as fast for whole images, and a file that shrinks or changes
meanwhile becomes an error in one line, where a mapping would end the process with SIGBUS.
"""

import contextlib
import dataclasses
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slbench.data.images.image_files import ImageFiles
from slbench.data.images.source import ArrayFile, ImageReader, ImageSource, InMemoryImages, OnDiskImages, OpenFile
from slbench.data.splits import PARTS, ImageSet, Labels, PartName, Splits, content_hash
from slbench.errors import InputError
from slbench.files import read_json, write_atomic

INDEX = "index.json"
VERSION = 1  # of the format
HEADER = 1024  # bytes in which the header of a npy file ends
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError)


@dataclasses.dataclass(frozen=True)
class Index:
    """Content of an index file."""

    of: str  # what was prepared; another value makes the cache useless
    content: str  # see `content_hash`
    mean: tuple[float, ...]  # per channel over the training images, in [0, 1]
    std: tuple[float, ...]
    shape: tuple[int, int, int]  # of an image: channels, height, width
    digests: Mapping[PartName, str]  # sha256 of each image, in hex
    validation: list[int] | None = None  # see `Splits`
    paths: Mapping[str, Any] | None = None  # root, mode, and paths by part, of image files that are not copied
    files: Mapping[str, list[int]] = dataclasses.field(default_factory=dict)  # see OpenFile.signature
    version: int = VERSION

    def digests_of(self, part: PartName) -> np.ndarray:
        """Return the sha256 of each image of a part, (n, 32)."""
        return np.frombuffer(bytes.fromhex(self.digests[part]), dtype=np.uint8).reshape(-1, 32)

    def write(self, path: Path) -> None:
        write_atomic(path, json.dumps(dataclasses.asdict(self)).encode())


def read_index(path: Path, *, of: str) -> Index | None:
    """Return the content of an index file; None if it is missing, damaged, or of another data set or version."""
    try:
        fields = read_json(path)
        fields |= {name: tuple(fields[name]) for name in ("mean", "std", "shape")}
        index = Index(**fields)
    except UNREADABLE:
        return None
    return index if (index.version, index.of) == (VERSION, of) else None


class PreparedDataset:
    """An open cache. Its files stay readable if another process replaces them.

    Raises:
        OSError, ValueError, KeyError: if a file is missing or damaged.
    """

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder, self.index = folder, index
        kinds = ("labels",) if index.paths is not None else ("labels", "images")
        self.files = {
            name: OpenFile(folder / name) for name in (f"{part}_{kind}.npy" for part in PARTS for kind in kinds)
        }
        self.readers = {part: self._reader(part) for part in PARTS}
        self.labels = {part: self._labels(part) for part in PARTS}

    def _reader(self, part: PartName) -> ImageReader:
        channels, height, width = self.index.shape
        if self.index.paths is not None:
            root, mode = Path(self.index.paths["root"]), self.index.paths["mode"]
            return ImageFiles(root, self.index.paths[part], mode, (height, width))
        file = self.files[f"{part}_images.npy"]
        start, shape = npy_header(file)
        if shape[1:] != self.index.shape or file.signature()[0] != start + np.prod(shape):
            raise ValueError(f"{file.path}: shape {shape}")
        return ArrayFile(file, (shape[0], channels, height, width), start)

    def _labels(self, part: PartName) -> Labels:
        file = self.files[f"{part}_labels.npy"]
        start, shape = npy_header(file)
        labels = np.empty(shape, dtype=np.int64)
        file.fill(labels, start=start)
        return labels

    @property
    def unchanged(self) -> bool:
        """Whether no file has changed since its content was hashed."""
        return self.index.files == {name: list(file.signature()) for name, file in self.files.items()}

    def splits(self, *, stream: bool, checked: bool = True) -> Splits:
        """Return the splits on the disk or in memory, with the recorded hash of their content.

        Args:
            checked: compare images on the disk with their digests.
        Raises:
            InputError: if a file changes meanwhile.
        """
        parts = []
        for part in PARTS:
            digests = self.index.digests_of(part) if checked else None
            images = OnDiskImages.all_of(self.readers[part], digests)
            parts.append(ImageSet(images if stream else self._in_memory(images), self.labels[part]))
        validation = None if self.index.validation is None else np.array(self.index.validation, dtype=np.int64)
        return Splits(parts[0], parts[1], validation=validation, content=self.index.content)

    def _in_memory(self, images: OnDiskImages) -> ImageSource:
        """Return the images of a part, read at once where they lie in one file."""
        reader = images.reader
        if not isinstance(reader, ArrayFile):
            return images.in_memory()
        array = np.empty(images.shape, dtype=np.uint8)
        reader.file.fill(array, start=reader.start)
        if not self.unchanged:
            raise reader.file.changed()
        return InMemoryImages(array)

    def rehashed(self) -> str:
        """Return the content hash of the images and labels as they are now."""
        return content_hash(dataclasses.replace(self.splits(stream=True, checked=False), content=None))


def open_prepared(folder: Path, *, of: str, rehash: bool = False) -> PreparedDataset | None:
    """Return a cache; None if it is missing, of another data set, or damaged.

    Args:
        rehash: hash the files even if size, modification time and inode are as recorded.
    """
    index = read_index(folder / INDEX, of=of)
    if index is None:
        return None
    try:
        prepared = PreparedDataset(folder, index)
        if prepared.unchanged and not rehash:
            return prepared
        if prepared.rehashed() != index.content:
            return None
    except (*UNREADABLE, InputError):
        return None
    if not prepared.unchanged:  # copied or restored with its content
        prepared.index = record_files(prepared)
    return prepared


def remove_index(folder: Path) -> None:
    """Make a cache useless, so that it is built again."""
    with contextlib.suppress(OSError):
        (folder / INDEX).unlink(missing_ok=True)


def record_files(prepared: PreparedDataset) -> Index:
    """Return the index with size, time and inode of the files as they are now, and write it if possible."""
    files = {name: list(file.signature()) for name, file in prepared.files.items()}
    index = dataclasses.replace(prepared.index, files=files)
    with contextlib.suppress(OSError):  # hashed again next time
        index.write(prepared.folder / INDEX)
    return index


def npy_header(file: OpenFile) -> tuple[int, tuple[int, ...]]:
    """Return the offset and the shape of the array in a npy file. Raises ValueError if it is damaged."""
    content = io.BytesIO(os.pread(file.number, HEADER, 0))
    np.lib.format.read_magic(content)
    shape, _, _ = np.lib.format.read_array_header_1_0(content)
    return content.tell(), shape
