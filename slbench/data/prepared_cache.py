"""Cache of decoded images in canonical order, as npz files."""

import json
import zipfile
from pathlib import Path

import numpy as np

from slbench.data.image_arrays import ImageArrays
from slbench.data.index_cache import IndexHeader, looked_at_once
from slbench.data.lazy_images import LazyImages
from slbench.data.npz_members import stored
from slbench.data.splits import PARTS, Images, ImageSet, PartName, Rows, Splits, content_hash
from slbench.errors import InputError
from slbench.files import atomic_writer

DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile)


def keep(splits: Splits, path: Path, *, of: str) -> None:
    """Write splits to a path, with the hash of their content beside them.

    Args:
        of: `content` of the data set's spec; a cache of another is ignored.
    Raises:
        OSError: if there is no space or no permission.
    """
    with atomic_writer(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, part in zip(PARTS, (splits.train, splits.test), strict=True):
            write_images(archive, f"{name}_images", part.images)
            write_rows(archive, f"{name}_labels", part.labels)
        if splits.given is not None:
            write_rows(archive, "given", splits.given)
    with atomic_writer(sidecar(path)) as file:
        file.write(json.dumps({"of": of, "content": content_hash(splits)}).encode())


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


def kept(path: Path, *, of: str) -> Splits | None:
    """Return the cached splits in memory; None if missing or not as written."""
    try:
        content = content_noted(path, of=of)
        with path.open("rb") as packed, np.load(packed, allow_pickle=False) as file:
            parts = [ImageSet(file[f"{name}_images"], file[f"{name}_labels"]) for name in PARTS]
            splits = Splits(parts[0], parts[1], given=file.get("given"))
    except DAMAGED:
        return None
    return splits if content_hash(splits) == content else None


def kept_lazily(path: Path, *, of: str) -> Splits | None:
    """Like `kept`, with the images on the disk, surveyed."""

    def reopen(part: PartName, _: IndexHeader) -> LazyImages:
        return images_there(path, part)

    try:
        content, stat = content_noted(path, of=of), path.stat()
        note = path.with_suffix(".note.npz")
        splits = looked_at_once(
            note, lambda: opened(path), reopen, files=f"{content} {stat.st_size} {stat.st_mtime_ns}"
        )
    except (*DAMAGED, InputError):
        return None
    return splits if content_hash(splits) == content else None


def content_kept(path: Path, *, of: str) -> str | None:
    """Return the content hash of a cache; None if missing or not as written."""
    try:
        content, found = content_noted(path, of=of), content_hash(opened(path))
    except (*DAMAGED, InputError):
        return None
    return found if found == content else None


def opened(path: Path) -> Splits:
    """Return the splits of a file with the images on the disk. Raises errors of DAMAGED."""
    with path.open("rb") as packed, np.load(packed, allow_pickle=False) as file:
        parts = [ImageSet(images_there(path, name), file[f"{name}_labels"]) for name in PARTS]
        return Splits(parts[0], parts[1], given=file.get("given"))


def images_there(path: Path, part: PartName) -> ImageArrays:
    return ImageArrays.of(stored(path, f"{part}_images", channels_first=True))


def content_noted(path: Path, *, of: str) -> str | None:
    """Return the hash that was written; None if it is another data set's. Raises errors of DAMAGED."""
    noted = json.loads(sidecar(path).read_bytes())
    return str(noted["content"]) if noted["of"] == of else None


def sidecar(path: Path) -> Path:
    return path.with_suffix(".json")
