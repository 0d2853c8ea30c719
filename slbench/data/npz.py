"""Images and labels in an npz file: `npz:PATH`."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from slbench.data.image_arrays import ImageArrays
from slbench.data.images import digest_of
from slbench.data.npz_members import header, stored
from slbench.data.own_split import RawDataset, UnorderedImages, in_class_order, too_large, use_lazy_images
from slbench.data.specs import MAX_SIDE
from slbench.data.splits import Images
from slbench.errors import InputError, unreadable

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


def read_npz(path: Path, *, lazy: bool = False) -> RawDataset:
    """Read an npz file with train_*, test_* and optionally val_* images and labels.

    Images are uint8, (n, h, w) or (n, h, w, c); labels are integers, (n,) or (n, 1) as MedMNIST has them. With
    `classes` (names by label) classes are numbered in the order of their names, as in a folder.

    Args:
        lazy: keep the images on the disk; done in any case if they do not fit into memory.
    Raises:
        InputError: for any other content, or an object array, which would need unpickling.
    """
    with damage_as_input_error(path), zipfile.ZipFile(path) as archive:
        lazy = lazy or use_lazy_images(sum(member.file_size for member in archive.infolist()))
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            parts = parts_of(path, list(file))
            images = {part: images_of(path, f"{part}_images", file, lazy=lazy) for part in parts}
            arrays = {part: one_array(path, f"{part}_labels", file) for part in parts}
            names = one_array(path, "classes", file) if "classes" in file else None
    if len({part.shape[1:] for part in images.values()}) > 1:
        shapes = ", ".join(f"{name} {part.shape[1:]}" for name, part in images.items())
        raise InputError(f"{path}: images of different shapes (channels, height, width): {shapes}")
    labels = {name: labels_of(path, name, arrays[name], len(images[name])) for name in images}
    classes = classes_of(path, names, labels)
    ordered = in_class_order(classes)
    rank = np.array([ordered.index(name) for name in classes], dtype=np.int64)
    parts_read = {name: UnorderedImages(images[name], digests_of(images[name]), rank[labels[name]]) for name in images}
    return RawDataset(str(path), tuple(ordered), parts_read["train"], parts_read.get("val"), parts_read["test"])


def digests_of(images: Images | ImageArrays) -> list[bytes]:
    return images.image_digests() if isinstance(images, ImageArrays) else [digest_of(image) for image in images]


def lazy_images(path: Path) -> dict[str, ImageArrays]:
    """Return the images on the disk of a file that `read_npz` has read: "train" (validation images last) and "test".

    Raises:
        InputError: if it is no longer that file.
    """
    with damage_as_input_error(path), zipfile.ZipFile(path) as archive:
        parts = parts_of(path, [name.removesuffix(".npy") for name in archive.namelist()])
        images = {part: ImageArrays.wrap(stored(path, f"{part}_images")) for part in parts}
    train = images["train"].joined(images["val"]) if "val" in images else images["train"]
    return {"train": train, "test": images["test"]}


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
            f"{path}: not an npz file, or damaged: restore it, or save it again with numpy.savez"
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
    return InputError(f"{path}: {name}: an array of objects, which is never unpickled: save it as numbers or as text")


def images_of(path: Path, name: str, file: "np.lib.npyio.NpzFile", *, lazy: bool) -> Images | ImageArrays:
    """Return images as (n, c, h, w), in memory or on the disk."""
    with zipfile.ZipFile(path) as archive:
        array_header = header(archive, name)
    check_images(path, name, array_header.dtype, array_header.shape)
    if lazy:
        return ImageArrays.wrap(stored(path, name))
    images = one_array(path, name, file)
    return images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def check_images(path: Path, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Raise InputError unless an array has the type and shape of images."""
    if dtype.hasobject:
        raise object_array_error(path, name)
    if dtype != np.uint8 or len(shape) not in (3, 4) or 0 in shape:
        raise InputError(
            f"{path}: {name}: must be uint8 of shape (n, h, w) or (n, h, w, c), got {dtype} of shape {shape}"
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
            f"{path}: {name}_labels: must be integers of shape ({count},) or ({count}, 1), "
            f"got {labels.dtype} of shape {labels.shape}"
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
        raise InputError(f"{path}: classes: must be distinct names, one per class, got {names.dtype} {names.shape}")
    for part, of_part in labels.items():
        wrong = of_part[(of_part < 0) | (of_part >= len(classes))]
        if len(wrong):
            raise InputError(
                f"{path}: {part}_labels: label {wrong[0]} is out of range: "
                f"there are {len(classes)} classes, 0 to {len(classes) - 1}"
            )
    return classes
