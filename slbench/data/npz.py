"""An npz file of images and labels: `npz:PATH`."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from slbench.data.images import digest_of
from slbench.data.own import Loose, Raw, check_memory, in_class_order
from slbench.errors import InputError

NEEDED = ("train_images", "train_labels", "test_images", "test_labels")
PARTS = ("train", "val", "test")
OPTIONAL = ("val_images", "val_labels", "classes")


def read_npz(path: Path) -> Raw:
    """The images of an npz file with train_*, test_* and, if there are any, val_images and val_labels.

    Images are uint8, (n, h, w) or (n, h, w, c); labels are integers, (n,) or (n, 1) as MedMNIST has them. With
    `classes`, names by label, classes are numbered in the order of their names, as in a folder.

    Raises:
        InputError: for anything else, or an array of objects, which would have to be unpickled.
    """
    arrays = read_arrays(path)
    images = {part: images_of(path, part, arrays[f"{part}_images"]) for part in PARTS if f"{part}_images" in arrays}
    if len({part.shape[1:] for part in images.values()}) > 1:
        shapes = ", ".join(f"{name} {part.shape[1:]}" for name, part in images.items())
        raise InputError(f"{path}: images of different shapes (channels, height, width): {shapes}")
    labels = {name: labels_of(path, name, arrays[f"{name}_labels"], len(images[name])) for name in images}
    classes = classes_of(path, arrays.get("classes"), labels)
    ordered = in_class_order(classes)
    rank = np.array([ordered.index(name) for name in classes], dtype=np.int64)
    parts = {
        name: Loose(images[name], [digest_of(image) for image in images[name]], rank[labels[name]]) for name in images
    }
    return Raw(str(path), tuple(ordered), parts["train"], parts.get("val"), parts["test"])


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The file's arrays that slbench knows, none of them unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_memory(str(path), sum(member.file_size for member in archive.infolist()))
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            there = list(file)
            missing = [name for name in NEEDED if name not in there]
            given = [name for name in ("val_images", "val_labels") if name in there]
            missing += [name for name in ("val_images", "val_labels") if given and name not in given]
            if missing:
                raise InputError(f"{path}: has no array '{missing[0]}'; needed: {', '.join(NEEDED)}")
            return {name: one_array(path, name, file) for name in (*NEEDED, *OPTIONAL) if name in there}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (PermissionError, IsADirectoryError) as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except InputError:
        raise
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not an npz file, or a damaged one") from error


def one_array(path: Path, name: str, file: "np.lib.npyio.NpzFile") -> np.ndarray:
    try:
        array: np.ndarray = file[name]
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        raise InputError(
            f"{path}: {name}: an array of objects, which is never unpickled: save it as numbers or as text"
        ) from error
    return array


def images_of(path: Path, name: str, images: np.ndarray) -> np.ndarray:
    """Images as (n, c, h, w)."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise InputError(
            f"{path}: {name}_images: must be uint8 of shape (n, h, w) or (n, h, w, c), "
            f"got {images.dtype} of shape {images.shape}"
        )
    return images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def labels_of(path: Path, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    """Labels as int64, (n,)."""
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise InputError(
            f"{path}: {name}_labels: must be integers of shape ({count},) or ({count}, 1), "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    within: np.ndarray = np.minimum(labels, np.iinfo(np.int64).max)  # beyond it a label would turn negative
    return within.reshape(count).astype(np.int64)


def classes_of(path: Path, names: np.ndarray | None, labels: dict[str, np.ndarray]) -> list[str]:
    """Class names by label: those of the file, else the numbers. Checks the range of the labels."""
    if names is None:
        highest, count = int(labels["train"].max()), len(labels["train"])
        if not 0 <= highest < count:
            raise InputError(
                f"{path}: train_labels: label {highest} is out of range: {count} training images are of at most "
                f"{count} classes, 0 to {count - 1}"
            )
        classes = [str(label) for label in range(int(labels["train"].max()) + 1)]
    elif names.ndim == 1 and names.dtype.kind in "UiuS" and len(set(names.tolist())) == len(names):
        classes = [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()]
    else:
        raise InputError(f"{path}: classes: must be different names, one a class, got {names.dtype} {names.shape}")
    for part, of_part in labels.items():
        wrong = of_part[(of_part < 0) | (of_part >= len(classes))]
        if len(wrong):
            raise InputError(
                f"{path}: {part}_labels: label {wrong[0]} is out of range: "
                f"there are {len(classes)} classes, 0 to {len(classes) - 1}"
            )
    return classes
