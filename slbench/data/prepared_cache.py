"""Cache of decoded images in canonical order, as npz files."""

import json
import zipfile
from pathlib import Path

import numpy as np

from slbench.data.image_arrays import ImageArrays
from slbench.data.index_cache import IndexHeader, load_or_index
from slbench.data.lazy_images import LazyImages
from slbench.data.npz_members import stored
from slbench.data.splits import PARTS, Images, ImageSet, PartName, Rows, Splits, content_hash
from slbench.errors import InputError
from slbench.files import atomic_writer

DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile)


def write_prepared(splits: Splits, path: Path, *, of_content: str) -> None:
    """Write splits to a path, with the hash of their content beside them.

    Args:
        of_content: `content` of the data set's spec; a cache of another is ignored.
    Raises:
        OSError: if there is no space or no permission.
    """
    with atomic_writer(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, part in zip(PARTS, (splits.train, splits.test), strict=True):
            write_images(archive, f"{name}_images", part.images)
            write_rows(archive, f"{name}_labels", part.labels)
        if splits.validation is not None:
            write_rows(archive, "given", splits.validation)
    with atomic_writer(sidecar(path)) as file:
        file.write(json.dumps({"of": of_content, "content": content_hash(splits)}).encode())


def write_images(archive: zipfile.ZipFile, name: str, images: Images | LazyImages) -> None:
    """Write an array of images, a few at a time."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        head = {"descr": images.dtype.str, "fortran_order": False, "shape": images.shape}
        np.lib.format.write_array_header_1_0(file, head)
        for image in images:
            file.write(image.tobytes())


def write_rows(archive: zipfile.ZipFile, name: str, rows: Rows) -> None:
    with archive.open(f"{name}.npy", "w") as file:
        np.lib.format.write_array(file, rows, allow_pickle=False)


def read_prepared(path: Path, *, of_content: str) -> Splits | None:
    """Return the cached splits in memory; None if missing or not as written."""
    try:
        content = recorded_content(path, of_content=of_content)
        with path.open("rb") as packed, np.load(packed, allow_pickle=False) as file:
            parts = [ImageSet(file[f"{name}_images"], file[f"{name}_labels"]) for name in PARTS]
            splits = Splits(parts[0], parts[1], validation=file.get("given"))
    except DAMAGED:
        return None
    return splits if content_hash(splits) == content else None


def open_prepared(path: Path, *, of_content: str) -> Splits | None:
    """Like `read_prepared`, with the images on the disk, with digests and statistics."""

    def reopen(part: PartName, _: IndexHeader) -> LazyImages:
        return lazy_images(path, part)

    try:
        content, stat = recorded_content(path, of_content=of_content), path.stat()
        note = path.with_suffix(".note.npz")
        splits = load_or_index(
            note, lambda: lazy_splits(path), reopen, files=f"{content} {stat.st_size} {stat.st_mtime_ns}"
        )
    except (*DAMAGED, InputError):
        return None
    return splits if content_hash(splits) == content else None


def prepared_content(path: Path, *, of_content: str) -> str | None:
    """Return the content hash of a cache; None if missing or not as written."""
    try:
        content, current = recorded_content(path, of_content=of_content), content_hash(lazy_splits(path))
    except (*DAMAGED, InputError):
        return None
    return current if current == content else None


def lazy_splits(path: Path) -> Splits:
    """Return the splits of a file with the images on the disk. Raises errors of DAMAGED."""
    with path.open("rb") as packed, np.load(packed, allow_pickle=False) as file:
        parts = [ImageSet(lazy_images(path, name), file[f"{name}_labels"]) for name in PARTS]
        return Splits(parts[0], parts[1], validation=file.get("given"))


def lazy_images(path: Path, part: PartName) -> ImageArrays:
    return ImageArrays.wrap(stored(path, f"{part}_images", channels_first=True))


def recorded_content(path: Path, *, of_content: str) -> str | None:
    """Return the hash that was written; None if it is another data set's. Raises errors of DAMAGED."""
    recorded = json.loads(sidecar(path).read_bytes())
    return str(recorded["content"]) if recorded["of"] == of_content else None


def sidecar(path: Path) -> Path:
    return path.with_suffix(".json")
