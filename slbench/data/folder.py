"""Folders of image files, one per class: `folder:PATH`."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slbench.data.image_files import ImageFiles, paths_as_keys
from slbench.data.images import CHANNELS, EXTENSIONS, ImageHeader, Pixels, digest_of, header
from slbench.data.own_split import RawDataset, UnorderedImages, common_size, in_class_order, use_lazy_images
from slbench.data.prefetch import prefetch
from slbench.data.splits import Images
from slbench.errors import InputError, unreadable


@dataclass(frozen=True)
class FolderLayout:
    """Image files of a folder by split and class, sorted by path."""

    root: Path
    train: dict[str, list[Path]]
    validation: dict[str, list[Path]] | None
    test: dict[str, list[Path]] | None

    @property
    def parts(self) -> list[dict[str, list[Path]]]:
        return [part for part in (self.train, self.validation, self.test) if part is not None]

    @property
    def files(self) -> list[Path]:
        return [path for part in self.parts for paths in part.values() for path in paths]


def layout(root: Path) -> FolderLayout:
    """Return the image files by split and class, as torchvision's ImageFolder finds them (any depth per class).

    - train/ and test/: used as such;
    - train/, val/ and test/: val/ is the validation split;
    - train/ and val/: val/ is the test set;
    - otherwise every folder is a class, and slbench holds out a fifth of each for testing.

    Raises:
        InputError: if a folder or its images are missing or unreadable.
    """
    try:
        return scan(root)
    except OSError as error:
        raise unreadable(error.filename or root, error) from error


def scan(root: Path) -> FolderLayout:
    """Like `layout`, raising OSError."""
    if not root.is_dir():
        raise InputError(f"{root}: {'is a file, not a folder' if root.exists() else 'no such folder'}: check the path")
    if not (root / "train").is_dir():
        return FolderLayout(root, classes(root), None, None)
    other_parts = [name for name in ("val", "test") if (root / name).is_dir()]
    if not other_parts:
        raise InputError(f"{root}: has train/ but neither test/ nor val/")
    train, test = classes(root / "train"), classes(root / other_parts[-1])
    validation = classes(root / "val") if len(other_parts) == 2 else None
    for name, part in (("val", validation), (other_parts[-1], test)):
        unknown = [label for label in part or () if label not in train]
        if unknown:
            raise InputError(f"{root / name}: class '{unknown[0]}' is not in {root / 'train'}")
    return FolderLayout(root, train, validation, test)


def classes(folder: Path) -> dict[str, list[Path]]:
    """Return the image files of each class."""
    files = {}
    for name in in_class_order(entry.name for entry in folder.iterdir() if is_class(entry)):
        files[name] = image_files(folder / name)
        if not files[name]:
            raise InputError(
                f"{folder / name}: no images; allowed: {', '.join(EXTENSIONS)}; add images or delete the folder"
            )
    if not files:
        raise InputError(f"{folder}: no class folders with images")
    return files


def image_files(folder: Path) -> list[Path]:
    """Return the image files at any depth below a folder, sorted; links are followed, as in ImageFolder.

    Raises:
        InputError: for a broken link, which would silently drop an image.
        OSError: for an unreadable folder.
    """

    def reraise(error: OSError) -> None:
        raise error

    paths = []
    for parent, _, names in os.walk(folder, onerror=reraise, followlinks=True):
        for path in (Path(parent, name) for name in names):
            if path.suffix.lower() not in EXTENSIONS or path.name.startswith("."):
                continue
            if path.is_file():
                paths.append(path)
            elif path.is_symlink() and not path.exists():
                raise InputError(f"{path}: broken link: restore its target or delete it")
    return sorted(paths)


def is_class(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def common_mode(headers: Sequence[ImageHeader], root: Path) -> str:
    """Return the mode in which all images are read: their own, or RGB if some are grey."""
    modes = {header.mode for header in headers}
    if len(modes) == 1:
        return modes.pop()
    if "RGBA" in modes:
        raise InputError(f"{root}: only some images have transparency: convert them to one mode")
    return "RGB"


def read_folder(files: FolderLayout, image_size: tuple[int, int] | None, *, lazy: bool = False) -> RawDataset:
    """Read every image of a layout, resized to `image_size` where sizes differ.

    Args:
        lazy: keep the images on the disk; done in any case if they do not fit into memory.
    Raises:
        InputError: at the first damaged image, or if sizes differ and `image_size` is None.
    """
    headers = list(prefetch(files.files, header))
    size = common_size(str(files.root), (header.size for header in headers), image_size)
    mode = common_mode(headers, files.root)
    lazy = lazy or use_lazy_images(len(headers) * CHANNELS[mode] * math.prod(size))
    labels = {name: label for label, name in enumerate(files.train)}

    def read(part: dict[str, list[Path]]) -> UnorderedImages:
        paths = [path for paths in part.values() for path in paths]
        of_class = np.array([labels[name] for name in part], dtype=np.int64)
        listed = ImageFiles(root=files.root, keys=paths_as_keys(paths, files.root), mode=mode, sizes=(size,))
        images, digests = read_images(listed, lazy=lazy)
        return UnorderedImages(images, digests, np.repeat(of_class, [len(paths) for paths in part.values()]))

    return RawDataset(
        str(files.root),
        tuple(files.train),
        read(files.train),
        None if files.validation is None else read(files.validation),
        None if files.test is None else read(files.test),
    )


def read_images(files: ImageFiles, *, lazy: bool) -> tuple[Images | ImageFiles, list[bytes]]:
    """Return the images (or, if lazy, the files) and the digests of the images before resizing."""
    if lazy:
        return files, files.image_digests()

    def read_image(row: int) -> tuple[Pixels, bytes]:
        pixels = files.decoded(row)
        return files.resize_all(pixels), digest_of(pixels)

    images, digests = np.empty(files.shape, dtype=np.uint8), []
    for row, (pixels, digest) in enumerate(prefetch(range(len(files)), read_image)):
        images[row] = pixels
        digests.append(digest)
    return images, digests
