"""Images and labels in an npz file: `npz:PATH`."""

import math
from collections.abc import Callable, Collection, Container, Iterator
from pathlib import Path

import numpy as np
import psutil

from slbench.data.build import RawDataset
from slbench.data.images.decode import Pixels
from slbench.data.own.npz_file import BLOCK, ArrayHeader, NpzFile, open_npz
from slbench.data.own.split import check_classes, fits, in_class_order, too_large
from slbench.data.specs import MAX_SIDE
from slbench.data.splits import Sample, SamplePart
from slbench.errors import InputError
from slbench.text import megabytes

SAMPLE_PARTS: dict[str, SamplePart] = {"train": "train", "val": "validation", "test": "test"}
COLUMNS_FIRST = (
    "is in Fortran order, so that its images cannot be read one by one: save it again with numpy.ascontiguousarray"
)
NEEDED = ("train_images", "train_labels", "test_images", "test_labels")
VALIDATING = ("val_images", "val_labels")
MAX_NAME = 255  # characters of a class name, as of a folder
IMAGE_BYTES = 300  # memory that label, part and digest of an image take while the cache is built
MAX_COLOURS = 4  # at most so many rows, with more columns and channels, are channels first


def read_npz(path: Path, *, check_space: Callable[[int], None] = lambda needed: None) -> RawDataset:
    """Return the images of an npz file with train_*, test_* and optionally val_* images and labels.

    Images are uint8, (n, h, w) or (n, h, w, c); labels are integers, (n,) or (n, 1) as MedMNIST has them. With
    `classes` (names by label) classes are numbered in the order of their names, as in a folder. Headers are checked
    first, then labels; images are unpacked when the samples are read.

    Args:
        check_space: called with the size of all images in bytes; raises InputError if the disk lacks it.
    Raises:
        InputError: for any other content, or an object array, which would need unpickling.
    """
    with open_npz(path) as file:
        parts = parts_of(path, file.members)
        headers = {part: file.header(f"{part}_images") for part in parts}
        for part, head in headers.items():
            check_images(path, f"{part}_images", head)
            check_labels(path, f"{part}_labels", file.header(f"{part}_labels"), head.shape[0])
        check_memory(path, headers.values())
        check_space(sum(head.num_bytes for head in headers.values()))
        arrays = {part: as_int64(file.read(f"{part}_labels")) for part in parts}
        names = class_names(file, headers["train"].shape[0]) if "classes" in file.members else None
    if len({head.image_shape for head in headers.values()}) > 1:
        shapes = ", ".join(f"{name} {head.image_shape}" for name, head in headers.items())
        raise InputError(f"{path}: images of different shapes (channels, height, width): {shapes}")
    classes = classes_of(path, names, arrays)
    ordered = in_class_order(classes)
    position = {name: number for number, name in enumerate(ordered)}
    rank = np.array([position[name] for name in classes], dtype=np.int64)
    ranked = {part: rank[of_part] for part, of_part in arrays.items()}
    check_classes(str(path), ordered, ranked["train"])
    return RawDataset(str(path), samples_of(path, ranked))


def samples_of(path: Path, labels: dict[str, np.ndarray]) -> Iterator[Sample]:
    """Yield the images of a file, a few in memory at a time."""
    with open_npz(path) as file:
        for part, of_part in labels.items():
            for image, label in zip(images_in(file, f"{part}_images"), of_part.tolist(), strict=True):
                yield Sample(SAMPLE_PARTS[part], image, label)


def images_in(file: NpzFile, name: str, *, channels_last: bool = True) -> Iterator[Pixels]:
    """Yield the images of an array (n, h, w) or (n, h, w, c), channels first.

    Args:
        channels_last: False: the array is (n, c, h, w).
    """
    head = file.header(name)
    if head.fortran_order:  # has to be read whole
        if not fits(head.num_bytes):
            raise InputError(f"{file.path}: {name}: {COLUMNS_FIRST}")
        yield from channels_first(file.read(name))
        return
    size = math.prod(head.shape[1:])
    for content in file.blocks(name, max(1, BLOCK // size) * size):
        array = np.frombuffer(content, dtype=np.uint8).reshape(-1, *head.shape[1:])
        yield from channels_first(array) if channels_last else array


def channels_first(images: np.ndarray) -> Iterator[Pixels]:
    for image in images:
        yield image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))


def parts_of(path: Path, names: Container[str]) -> list[str]:
    """Return which of "train", "val" and "test" a file has. Raises InputError if one is incomplete."""
    has_validation = any(name in names for name in VALIDATING)
    missing = [name for name in (*NEEDED, *(VALIDATING if has_validation else ())) if name not in names]
    if missing:
        raise InputError(f"{path}: missing array '{missing[0]}'; required: {', '.join(NEEDED)}")
    return ["train", "val", "test"] if has_validation else ["train", "test"]


def check_images(path: Path, name: str, head: ArrayHeader) -> None:
    """Raise InputError unless an array has the type and shape of images."""
    dtype, shape = head.dtype, head.shape
    if dtype != np.uint8 or len(shape) not in (3, 4) or 0 in shape:
        raise InputError(
            f"{path}: {name}: must be uint8 of shape (n, h, w) or (n, h, w, c) (got {dtype} of shape {shape})"
        )
    if len(shape) == 4 and shape[1] <= MAX_COLOURS < min(shape[2:]):
        raise InputError(
            f"{path}: {name}: must be of shape (n, h, w, c), not (n, c, h, w) (got {shape}); "
            "save it again with numpy.moveaxis(images, 1, -1)"
        )
    if max(shape[1:3]) > MAX_SIDE:
        raise InputError(f"{path}: {name}: {too_large((shape[1], shape[2]))}; resize them")


def check_labels(path: Path, name: str, head: ArrayHeader, count: int) -> None:
    """Raise InputError unless an array has the type and shape of the labels of so many images."""
    if head.dtype.kind not in "iu" or head.shape not in ((count,), (count, 1)):
        raise InputError(
            f"{path}: {name}: must be integers of shape ({count},) or ({count}, 1) "
            f"(got {head.dtype} of shape {head.shape})"
        )


def check_memory(path: Path, headers: Collection[ArrayHeader]) -> None:
    """Raise InputError if an image, or the labels and digests of all, are too large for this machine."""
    largest = max(math.prod(head.shape[1:]) for head in headers)
    count = sum(head.shape[0] for head in headers)
    if largest + IMAGE_BYTES * count > psutil.virtual_memory().available:
        raise InputError(
            f"{path}: {count:,} images of up to {megabytes(largest)} need more than the free memory of this machine"
        )


def as_int64(labels: np.ndarray) -> np.ndarray:
    """Return labels as int64, (n,)."""
    most = min(np.iinfo(labels.dtype).max, np.iinfo(np.int64).max)  # beyond it a label would overflow
    within: np.ndarray = np.minimum(labels, most)
    return within.reshape(-1).astype(np.int64)


def class_names(file: NpzFile, num_train: int) -> list[str]:
    """Return the names of the classes by label. Raises InputError unless they are distinct and few enough."""
    head = file.header("classes")
    if len(head.shape) == 1 and head.shape[0] > num_train:
        raise InputError(
            f"{file.path}: classes: must be at most {num_train:,}, the training images (got {head.shape[0]:,})"
        )
    names = file.read("classes").tolist() if len(head.shape) == 1 and head.dtype.kind in "UiuS" else []
    if not names or len(set(names)) < len(names):
        raise InputError(f"{file.path}: classes: must be distinct names, one per class (got {head.dtype} {head.shape})")
    texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    if (longest := max(map(len, texts))) > MAX_NAME:
        raise InputError(f"{file.path}: classes: names must have at most {MAX_NAME} characters (got {longest})")
    return texts


def read_class_names(path: Path) -> list[str]:
    """Return the names in the order of the labels of `read_npz`; empty for a file without names. Raises like it."""
    with open_npz(path) as file:
        named = "classes" in file.members
        return in_class_order(class_names(file, file.header("train_images").shape[0])) if named else []


def classes_of(path: Path, names: list[str] | None, labels: dict[str, np.ndarray]) -> list[str]:
    """Return class names by label (those of the file, else numbers) after checking the range of the labels."""
    if names is None:
        highest, count = int(labels["train"].max()), len(labels["train"])
        if not 0 <= highest < count:
            raise InputError(
                f"{path}: train_labels: label out of range (got {highest}); "
                f"allowed: 0 to {count - 1}, as {count} training images have at most {count} classes"
            )
    classes = [str(label) for label in range(int(labels["train"].max()) + 1)] if names is None else names
    for part, of_part in labels.items():
        wrong = of_part[(of_part < 0) | (of_part >= len(classes))]
        if len(wrong):
            raise InputError(
                f"{path}: {part}_labels: label out of range (got {wrong[0]}); "
                f"allowed: 0 to {len(classes) - 1}, the {len(classes)} classes"
            )
    return classes
