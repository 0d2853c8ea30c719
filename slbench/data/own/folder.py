"""Folders of image files, one per class: `folder:PATH`."""

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slbench.data.build import RawDataset
from slbench.data.images.decode import ImageHeader, digest_of, header, resize
from slbench.data.images.image_files import ImageFiles
from slbench.data.images.prefetch import prefetch
from slbench.data.images.source import Size
from slbench.data.own.folder_scan import FolderScan, kind_of_other
from slbench.data.own.split import check_classes, common_size
from slbench.data.splits import Sample, SamplePart
from slbench.errors import InputError, unreadable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderLayout:
    """Image files of a folder by split and class, sorted by path."""

    root: Path
    train: dict[str, list[Path]]
    validation: dict[str, list[Path]] | None
    test: dict[str, list[Path]] | None
    oddities: str = ""  # one line on what is left out, or read although it looks odd

    @property
    def parts(self) -> list[tuple[SamplePart, dict[str, list[Path]]]]:
        parts: tuple[tuple[SamplePart, dict[str, list[Path]] | None], ...] = (
            ("train", self.train),
            ("validation", self.validation),
            ("test", self.test),
        )
        return [(name, part) for name, part in parts if part is not None]

    @property
    def files(self) -> list[Path]:
        return [path for _, part in self.parts for paths in part.values() for path in paths]


def layout(root: Path) -> FolderLayout:
    """Return the image files by split and class, as torchvision's ImageFolder finds them (any depth per class).

    - train/ and test/: used as such;
    - train/, val/ and test/: val/ is the validation split;
    - train/ and val/: val/ is the test set;
    - otherwise every folder is a class, and slbench holds out a fifth of each for testing.

    Links are followed, as there, but each folder is read once per class; see `FolderScan`.

    Raises:
        InputError: if a folder or its images are missing or unreadable.
    """
    try:
        return by_split(root)
    except OSError as error:
        raise unreadable(error.filename or root, error) from error


def by_split(root: Path) -> FolderLayout:
    """Like `layout`, raising OSError."""
    if not root.is_dir():
        raise InputError(f"{root}: {'is a file, not a folder' if root.exists() else 'no such folder'}; check the path")
    scan = FolderScan(root)
    if not (root / "train").is_dir():
        return FolderLayout(root, scan.classes(root), None, None, scan.summary())
    other_parts = [name for name in ("val", "test") if (root / name).is_dir()]
    if not other_parts:
        raise InputError(f"{root}: has train/ but neither test/ nor val/")
    for path in sorted(root.iterdir()):
        if path.name not in ("train", *other_parts):
            scan.note("unused folder" if path.is_dir() else kind_of_other(path), path)
    train, test = scan.classes(root / "train"), scan.classes(root / other_parts[-1])
    validation = scan.classes(root / "val") if len(other_parts) == 2 else None
    for name, part in (("val", validation), (other_parts[-1], test)):
        unknown = [label for label in part or () if label not in train]
        if unknown:
            raise InputError(f"{root / name}: class '{unknown[0]}' is not in {root / 'train'}")
    return FolderLayout(root, train, validation, test, scan.summary())


def common_mode(headers: Sequence[ImageHeader], root: Path) -> str:
    """Return the mode in which all images are read: their own, or RGB if some are grey."""
    modes = {header.mode for header in headers}
    if len(modes) == 1:
        return modes.pop()
    if "RGBA" in modes:
        raise InputError(f"{root}: only some images have transparency; convert them to one mode")
    return "RGB"


def read_folder(root: Path, image_size: Size | None, *, copied: Callable[[int], bool]) -> RawDataset:
    """Return the images of a folder, resized to `image_size` where sizes differ.

    Args:
        copied: whether so many bytes of decoded images are kept; otherwise files are decoded at each access.
    Raises:
        InputError: if the folder is unusable, or if sizes differ and `image_size` is None.
    """
    found = layout(root)
    if found.oddities:
        log.warning(found.oddities)
    labels = np.repeat(np.arange(len(found.train)), [len(paths) for paths in found.train.values()])
    check_classes(str(root), list(found.train), labels, undivided=found.test is None)
    headers = list(prefetch(found.files, header))
    size = common_size(str(root), (header.size for header in headers), image_size)
    paths = [os.fspath(path.relative_to(root)) for path in found.files]
    files = ImageFiles(root, paths, common_mode(headers, root), size)
    keep = copied(math.prod(files.shape))
    return RawDataset(str(root), samples(found, files), undivided=found.test is None, files=None if keep else files)


def samples(found: FolderLayout, files: ImageFiles) -> Iterator[Sample]:
    """Yield every image of a layout, resized. Raises InputError at the first damaged one."""
    labels = {name: label for label, name in enumerate(found.train)}
    of_row = [(part, labels[name]) for part, group in found.parts for name, paths in group.items() for _ in paths]

    def read(row: int) -> Sample:
        pixels = files.decoded(row)
        return Sample(of_row[row][0], resize(pixels, files.size), of_row[row][1], digest_of(pixels))

    return prefetch(range(len(of_row)), read)
