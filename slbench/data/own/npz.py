"""Images and labels in an npz file: `npz:PATH`."""

import contextlib
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slbench.data.build import RawDataset
from slbench.data.images.decode import Pixels
from slbench.data.own.split import check_classes, fits, in_class_order, too_large
from slbench.data.specs import MAX_SIDE
from slbench.data.splits import Sample, SamplePart
from slbench.errors import InputError, unreadable

SAMPLE_PARTS: dict[str, SamplePart] = {"train": "train", "val": "validation", "test": "test"}
BLOCK = 2**18  # bytes read at once; zipfile holds some four times as many
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # differs only in the encoding of field names
}
COLUMNS_FIRST = (
    "is in Fortran order, so that its images cannot be read one by one: save it again with numpy.ascontiguousarray"
)
NEEDED = ("train_images", "train_labels", "test_images", "test_labels")
VALIDATING = ("val_images", "val_labels")
MAX_COLOURS = 4  # at most so many rows, with more columns and channels, are channels first
DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    AttributeError,
    KeyError,
    RuntimeError,
    MemoryError,  # an array whose header states a larger size
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ArrayHeader:
    """Type, shape and header size of an array in an npz file."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    size: int  # size of the header, in bytes

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image."""
        return (1, *self.shape[1:]) if len(self.shape) == 3 else (self.shape[3], *self.shape[1:3])


def read_npz(path: Path) -> RawDataset:
    """Return the images of an npz file with train_*, test_* and optionally val_* images and labels.

    Images are uint8, (n, h, w) or (n, h, w, c); labels are integers, (n,) or (n, 1) as MedMNIST has them. With
    `classes` (names by label) classes are numbered in the order of their names, as in a folder.

    Raises:
        InputError: for any other content, or an object array, which would need unpickling.
    """
    with (
        damage_as_input_error(path),
        zipfile.ZipFile(path) as archive,
        path.open("rb") as content,
        np.load(content, allow_pickle=False) as file,
    ):
        parts = parts_of(path, list(file))
        headers = {part: header(archive, f"{part}_images") for part in parts}
        for part, head in headers.items():
            check_images(path, f"{part}_images", head)
        arrays = {part: one_array(path, f"{part}_labels", file) for part in parts}
        names = one_array(path, "classes", file) if "classes" in file else None
    if len({head.image_shape for head in headers.values()}) > 1:
        shapes = ", ".join(f"{name} {head.image_shape}" for name, head in headers.items())
        raise InputError(f"{path}: images of different shapes (channels, height, width): {shapes}")
    labels = {part: labels_of(path, part, arrays[part], head.shape[0]) for part, head in headers.items()}
    classes = classes_of(path, names, labels)
    ordered = in_class_order(classes)
    rank = np.array([ordered.index(name) for name in classes], dtype=np.int64)
    ranked = {part: rank[of_part] for part, of_part in labels.items()}
    check_classes(str(path), ordered, ranked["train"])
    return RawDataset(str(path), samples_of(path, ranked))


def samples_of(path: Path, labels: dict[str, np.ndarray]) -> Iterator[Sample]:
    """Yield the images of a file, a few in memory at a time."""
    for part, of_part in labels.items():
        with damage_as_input_error(path):
            for image, label in zip(images_in(path, f"{part}_images"), of_part.tolist(), strict=True):
                yield Sample(SAMPLE_PARTS[part], image, label)


def images_in(path: Path, name: str, *, channels_last: bool = True) -> Iterator[Pixels]:
    """Yield the images of an array (n, h, w) or (n, h, w, c), channels first.

    Args:
        channels_last: False: the array is (n, c, h, w).
    """
    with zipfile.ZipFile(path) as archive:
        head = header(archive, name)
        if head.fortran_order:
            yield from columns_first(path, name, head)
            return
        count, size = head.shape[0], math.prod(head.shape[1:])
        block = max(1, BLOCK // size)
        with archive.open(f"{name}.npy") as content:
            content.read(head.size)
            for start in range(0, count, block):
                images = min(block, count - start)
                array = np.frombuffer(content.read(images * size), dtype=np.uint8).reshape(images, *head.shape[1:])
                yield from channels_first(array) if channels_last else array
            content.read(1)  # at its end zipfile compares the checksum


def columns_first(path: Path, name: str, head: ArrayHeader) -> Iterator[Pixels]:
    """Yield the images of an array in Fortran order, which has to be read whole."""
    if not fits(math.prod(head.shape)):
        raise InputError(f"{path}: {name}: {COLUMNS_FIRST}")
    with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
        yield from channels_first(file[name])


def channels_first(images: np.ndarray) -> Iterator[Pixels]:
    for image in images:
        yield image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))


def header(archive: zipfile.ZipFile, name: str) -> ArrayHeader:
    """Return the header of an array.

    Raises:
        ValueError: if it is damaged or states another size than the array has; also errors of zipfile.
    """
    with archive.open(f"{name}.npy") as content:
        version = np.lib.format.read_magic(content)
        if version not in READERS:
            raise ValueError(f"npy version {version}")
        array_header = ArrayHeader(*READERS[version](content), content.tell())
    size = archive.getinfo(f"{name}.npy").file_size
    expected = array_header.size + math.prod(array_header.shape) * array_header.dtype.itemsize
    if not array_header.dtype.hasobject and size != expected:
        raise ValueError(f"{name}: {size} bytes")
    return array_header


@contextlib.contextmanager
def damage_as_input_error(path: Path) -> Iterator[None]:
    """Turn errors of numpy and zipfile on a damaged file into an InputError that names it."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise unreadable(path, error) from error
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(
            f"{path}: not an npz file, or damaged; restore it, or save it again with numpy.savez"
        ) from error


def parts_of(path: Path, names: Sequence[str]) -> list[str]:
    """Return which of "train", "val" and "test" a file has. Raises InputError if one is incomplete."""
    has_validation = any(name in names for name in VALIDATING)
    missing = [name for name in (*NEEDED, *(VALIDATING if has_validation else ())) if name not in names]
    if missing:
        raise InputError(f"{path}: missing array '{missing[0]}'; required: {', '.join(NEEDED)}")
    return ["train", "val", "test"] if has_validation else ["train", "test"]


def one_array(path: Path, name: str, file: "np.lib.npyio.NpzFile") -> np.ndarray:
    try:
        array: np.ndarray = file[name]
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        raise object_array_error(path, name) from error
    return array


def object_array_error(path: Path, name: str) -> InputError:
    return InputError(f"{path}: {name}: an array of objects, which is never unpickled; save it as numbers or as text")


def check_images(path: Path, name: str, head: ArrayHeader) -> None:
    """Raise InputError unless an array has the type and shape of images."""
    dtype, shape = head.dtype, head.shape
    if dtype.hasobject:
        raise object_array_error(path, name)
    if dtype != np.uint8 or len(shape) not in (3, 4) or 0 in shape:
        raise InputError(
            f"{path}: {name}: must be uint8 of shape (n, h, w) or (n, h, w, c) (got {dtype} of shape {shape})"
        )
    if len(shape) == 4 and shape[1] <= MAX_COLOURS < min(shape[2:]):
        raise InputError(
            f"{path}: {name}: shape {shape} looks like (n, c, h, w) and must be (n, h, w, c): "
            "save it again with numpy.moveaxis(images, 1, -1)"
        )
    if max(shape[1:3]) > MAX_SIDE:
        raise InputError(f"{path}: {name}: {too_large((shape[1], shape[2]))}; resize them")


def labels_of(path: Path, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    """Return labels as int64, (n,)."""
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise InputError(
            f"{path}: {name}_labels: must be integers of shape ({count},) or ({count}, 1) "
            f"(got {labels.dtype} of shape {labels.shape})"
        )
    within: np.ndarray = np.minimum(labels, np.iinfo(np.int64).max)  # beyond it a label would overflow
    return within.reshape(count).astype(np.int64)


def classes_of(path: Path, names: np.ndarray | None, labels: dict[str, np.ndarray]) -> list[str]:
    """Return class names by label (those of the file, else numbers) after checking the range of the labels."""
    if names is None:
        highest, count = int(labels["train"].max()), len(labels["train"])
        if not 0 <= highest < count:
            raise InputError(
                f"{path}: train_labels: label out of range (got {highest}): {count} training images have at most "
                f"{count} classes, 0 to {count - 1}"
            )
        classes = [str(label) for label in range(int(labels["train"].max()) + 1)]
    elif names.ndim == 1 and names.dtype.kind in "UiuS" and len(set(names.tolist())) == len(names):
        classes = [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()]
    else:
        raise InputError(f"{path}: classes: must be distinct names, one per class (got {names.dtype} {names.shape})")
    for part, of_part in labels.items():
        wrong = of_part[(of_part < 0) | (of_part >= len(classes))]
        if len(wrong):
            raise InputError(
                f"{path}: {part}_labels: label {wrong[0]} is out of range: "
                f"there are {len(classes)} classes, 0 to {len(classes) - 1}"
            )
    return classes
