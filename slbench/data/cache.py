"""Find, make and replace prepared caches; images at other sizes than the prepared one."""

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import PIL

from slbench.data.build import RawDataset, build, index_of
from slbench.data.config import exclusive_lock, writing
from slbench.data.images.source import OnDiskImages, Size
from slbench.data.own.npz import images_in
from slbench.data.own.npz_file import open_npz
from slbench.data.prepared import Index, PreparedDataset, open_prepared, read_index
from slbench.data.splits import PARTS, ImageSet, Sample, Splits
from slbench.errors import InputError
from slbench.files import read_json, replace_folder

log = logging.getLogger(__name__)


def obtain(
    folder: Path,
    make_cache: Callable[[], PreparedDataset],
    *,
    of: str,
    older: Path,
    is_usable: Callable[[PreparedDataset], bool] = lambda prepared: True,
) -> PreparedDataset:
    """Return the cache in a folder, made if it is missing, damaged or not usable; one process makes it, others wait.

    Args:
        older: cache of slbench 0.1, which is copied if it is there and whole.
    """

    def existing() -> PreparedDataset | None:
        prepared = open_prepared(folder, of=of)
        return prepared if prepared is not None and is_usable(prepared) else None

    if (prepared := existing()) is not None:
        return prepared
    with exclusive_lock(folder):
        return existing() or from_older(older, folder, of=of) or make_cache()


def make(
    read: Callable[[], RawDataset],
    parent: Path,
    key: str,
    *,
    of: str = "",
    required: bool = False,
    check: Callable[[Splits], None] = lambda splits: None,
) -> PreparedDataset:
    """Write a cache in place of any other, and open it. Where nothing can be written, it lasts as long as its reader.

    Call with the key locked: what a killed process left under it is removed.

    Args:
        parent: folder of the cache.
        key: name of the cache; without `of`, caches are named by the hash of their content.
        check: called with the splits before they replace others.
    """
    scratch = parent / f".{key}.tmp"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        prepared = build(read(), scratch, of=of)
        check(prepared.splits(stream=True))
        folder = parent / (key if of else prepared.index.content)
        replace_folder(scratch, folder)
        return open_prepared(folder, of=prepared.index.of) or prepared
    except OSError:
        if required:
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    with writing(parent, create=False), tempfile.TemporaryDirectory() as elsewhere:
        return build(read(), Path(elsewhere), of=of)


def at_size(prepared: PreparedDataset, size: Size, *, stream: bool) -> Splits:
    """Return the images of a cache, resized to (height, width) if they have another size."""
    if prepared.index.shape[1:] == size:
        return prepared.splits(stream=stream)
    splits = prepared.splits(stream=True)
    index = index_at(prepared, resized(splits, size), size)
    splits = replace(resized(splits, size, index), content=index.content)
    return splits if stream else in_memory(splits)


def index_at(prepared: PreparedDataset, splits: Splits, size: Size) -> Index:
    """Return the index of resized splits, made once. Images are not stored at other sizes than the prepared one."""
    path = prepared.folder / f"index-{size[0]}x{size[1]}.json"
    of = f"{prepared.index.content} resized by Pillow {PIL.__version__}"
    index = read_index(path, of=of)
    if index is None:
        index = replace(index_of(splits), of=of)
        with contextlib.suppress(OSError):  # without it every image is read again: slower, not wrong
            if prepared.folder.is_dir():
                index.write(path)
    return index


def resized(splits: Splits, size: Size, index: Index | None = None) -> Splits:
    """Return streamed splits resized on access.

    Args:
        index: with the digests of the resized images.
    """
    parts = []
    for name, part in zip(PARTS, (splits.train, splits.test), strict=True):
        assert isinstance(part.images, OnDiskImages)
        digests = None if index is None else index.digests_of(name)
        parts.append(ImageSet(replace(part.images, size=size, digests=digests), part.labels))
    return Splits(parts[0], parts[1], validation=splits.held_out)


def in_memory(splits: Splits) -> Splits:
    """Return the splits with every image read into memory."""
    train, test = (
        ImageSet(part.images.in_memory() if isinstance(part.images, OnDiskImages) else part.images, part.labels)
        for part in (splits.train, splits.test)
    )
    return replace(splits, train=train, test=test)


def from_older(path: Path, folder: Path, *, of: str) -> PreparedDataset | None:
    """Copy a cache as slbench 0.1 wrote it, one npz file in canonical order; None if it is missing or damaged."""
    recorded = read_json(path.with_suffix(".json"))
    if not path.exists() or not isinstance(recorded, dict) or recorded.get("of") != of:
        return None

    def check(splits: Splits) -> None:
        if splits.content != recorded.get("content"):
            raise InputError(f"{path}: damaged")

    log.warning("%s: cache of an older version: it is copied into the present form and can then be deleted", path)
    with contextlib.suppress(InputError):
        return make(lambda: RawDataset(str(path), older_samples(path)), folder.parent, folder.name, of=of, check=check)
    return None


def older_samples(path: Path) -> Iterator[Sample]:
    with open_npz(path) as file:
        given = set(file.read("given").tolist()) if "given" in file.members else set()
        for part in PARTS:
            images = images_in(file, f"{part}_images", channels_last=False)
            labels = file.read(f"{part}_labels").tolist()
            for row, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield Sample("validation" if part == "train" and row in given else part, image, label)
