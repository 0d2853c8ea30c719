"""Lists of images of a published data set, by which others can rebuild a subset that may not be distributed.

A list is a JSON file: the published set, the hash of the subset's content, and for each class the hashes of its
training and test images.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from slbench.data.config import DataConfig
from slbench.data.sets.catalog import DATASETS, DatasetEntry
from slbench.data.sets.class_names import CLASS_NAMES
from slbench.data.sets.local import load_published
from slbench.data.specs import ARRAYS, DatasetSpec, short
from slbench.errors import InputError, unreadable
from slbench.files import atomic_writer, open_regular
from slbench.names import lookup
from slbench.validation import STRICT, checked

if TYPE_CHECKING:
    from slbench.data.images.source import Rows
    from slbench.data.prepared import PreparedDataset
    from slbench.data.splits import PartName, Sample

DIGITS = 10  # hex digits of an image's sha256 (40 bits): unlikely to repeat within a class
MAX_BYTES = 100_000_000
Digests = Annotated[str, Field(pattern="^[0-9a-f]*$")]
ByClass = Annotated[dict[str, Digests], Field(min_length=2)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageList:
    """Images of a published set; each is known by the first `DIGITS` hex digits of its sha256, joined by class."""

    __pydantic_config__ = STRICT

    dataset: str  # name of the published set
    content: Annotated[str, Field(pattern=f"^{ARRAYS}[0-9a-f]{{64}}$")]  # of the subset; see `splits.content_hash`
    train: ByClass
    test: ByClass | None  # None: every test image of the set

    def write(self, path: Path) -> None:
        """Write the list, a class on each line. Raises InputError if that is not possible."""
        try:
            with atomic_writer(path) as file:
                file.write((json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise InputError(f"{path}: not writable ({error.strerror})") from error


def read_list(path: Path) -> ImageList:
    """Return the list in a file. Raises InputError for anything else."""
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
        fields = json.loads(content) if len(content) <= MAX_BYTES else None
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a list of images written by slbench data list-images ({error})") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path}: not a list of images written by slbench data list-images")
    read: ImageList = checked(ImageList, fields, where=str(path))
    return read


def list_images(prepared: "PreparedDataset", classes: tuple[str, ...] | None, *, of: str) -> ImageList:
    """Return the list of the images of a data set, taken from a published set.

    The published set need not be on this machine.

    Args:
        classes: names of the data set's classes by label; None: numbers.
        of: name of the published set.
    Raises:
        InputError: if the set is unknown, or the data set has validation images of its own or other classes.
    """
    published = lookup(published_sets(), of, "data set", where="--of").spec
    names = class_names_of(published)
    classes = classes or tuple(map(str, range(int(prepared.labels["train"].max()) + 1)))
    if unknown := sorted(set(classes) - set(names)):
        raise InputError(f"--of {of}: has no class '{unknown[0]}'; its classes: {', '.join(names)}")
    if prepared.index.validation is not None:
        raise InputError("validation images of its own: a list keeps the default split; leave val_* or val/ out")

    def digests(part: "PartName") -> dict[str, str]:
        of_class: dict[str, list[str]] = {name: [] for name in classes}
        for digest, label in zip(prepared.index.digests_of(part), prepared.labels[part].tolist(), strict=True):
            of_class[classes[label]].append(digest.tobytes().hex()[:DIGITS])
        return {name: "".join(sorted(found)) for name, found in of_class.items()}

    all_tests = len(prepared.labels["test"]) == published.num_test
    content = ARRAYS + prepared.index.content
    return ImageList(dataset=of, content=content, train=digests("train"), test=None if all_tests else digests("test"))


def published_sets() -> dict[str, DatasetEntry]:
    """Return the data sets that can be downloaded and have images of one size."""
    return {name: entry for name, entry in DATASETS.items() if entry.archives and not entry.sizes_differ}


def class_names_of(spec: DatasetSpec) -> tuple[str, ...]:
    """Return the names of a published set's classes by label; numbers where they have none."""
    return CLASS_NAMES.get(spec.name) or tuple(map(str, range(spec.num_classes)))


def rows_of(listed: ImageList, prepared: "PreparedDataset", *, where: str) -> dict["PartName", "Rows"]:
    """Return the rows of the images of a list in the set they are taken from, in ascending order.

    Args:
        where: list, for errors.
    Raises:
        InputError: if the set lacks an image.
    """
    import numpy as np

    names = class_names_of(DATASETS[listed.dataset].spec)
    wanted: dict[PartName, dict[str, str] | None] = {"train": listed.train, "test": listed.test}
    rows = dict["PartName", "Rows"]()
    for part, of_part in wanted.items():
        labels = prepared.labels[part]
        if of_part is None:
            rows[part] = np.arange(len(labels))
            continue
        digests = (digest.tobytes().hex()[:DIGITS] for digest in prepared.index.digests_of(part))
        keys = zip((names[label] for label in labels.tolist()), digests, strict=True)
        found = matching(keys, of_part, where=f"{where}: {part}: data set '{listed.dataset}'")
        rows[part] = np.array(found, dtype=np.int64)
    return rows


def list_of(name: str) -> ImageList:
    """Return the list of a named subset."""
    with as_file(files("slbench.data.sets") / f"{name}.images.json") as path:
        return read_list(path)


def load_subset(name: str, config: DataConfig) -> Iterator["Sample"]:
    """Yield the images of a named subset, with the labels of the set it is taken from.

    Raises:
        InputError: if that set is not on this machine, or lacks an image.
    """
    from slbench.data.splits import Sample

    listed = list_of(name)
    entry = DATASETS[listed.dataset]
    prepared = load_published(entry, entry.spec, config)
    splits = prepared.splits(stream=True)
    for part, rows in rows_of(listed, prepared, where=f"data set '{name}'").items():
        chosen = (splits.train if part == "train" else splits.test).take(rows)
        for image, label in zip(chosen.images, chosen.labels.tolist(), strict=True):
            yield Sample(part, image, label)


def read_copy(name: str, path: Path) -> Iterator["Sample"]:
    """Yield the images of an npz file with the labels of a named set, whose class names it must have.

    Raises:
        InputError: for another file.
    """
    from slbench.data.own.npz import read_class_names, read_npz

    classes, names = read_class_names(path), class_names_of(DATASETS[name].spec)
    if sorted(classes) != sorted(names):
        raise InputError(f"{path}: classes: must be those of data set '{name}': {', '.join(names)}")
    for sample in read_npz(path).samples:
        yield sample._replace(label=names.index(classes[sample.label]))


def write_subset(path: Path, target: Path, config: DataConfig) -> tuple[int, int]:
    """Write the images of a list as an npz file for `npz:PATH`; return the numbers of training and test images.

    Args:
        path: of the list.
        target: file to write; it must not exist.
    Raises:
        InputError: if the published set is not on this machine, or lacks images of the list.
    """
    import numpy as np

    from slbench.data.splits import ImageSet, Splits, content_hash, in_content_order

    listed = read_list(path)
    if target.exists():
        raise InputError(f"{target}: exists; choose another file")
    entry = lookup(published_sets(), listed.dataset, "data set", where=f"{path}: dataset")
    names = class_names_of(entry.spec)
    if unknown := sorted(set(listed.train) - set(names)):
        raise InputError(f"{path}: train: data set '{listed.dataset}' has no class '{unknown[0]}'")
    prepared = load_published(entry, entry.spec, config)
    splits, rows = prepared.splits(stream=True), rows_of(listed, prepared, where=str(path))
    classes = sorted(listed.train)  # numbered as in any npz file with names
    rank = np.array([classes.index(name) if name in classes else -1 for name in names], dtype=np.int64)
    train, test = (
        in_content_order(ImageSet(part.images.take(of_part), rank[part.labels[of_part]]))
        for part, of_part in ((splits.train, rows["train"]), (splits.test, rows["test"]))
    )
    if ARRAYS + (found := content_hash(Splits(train, test))) != listed.content:
        raise InputError(
            f"{path}: content: expected {short(listed.content)} (got {short(ARRAYS + found)}) from data set "
            f"'{listed.dataset}'; the list or the set differs from those it was made of"
        )
    arrays = {"classes": np.array(classes)}
    for name, images in (("train", train), ("test", test)):
        pixels = np.stack([np.moveaxis(image, 0, -1) for image in images.images])
        arrays[f"{name}_images"] = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        arrays[f"{name}_labels"] = images.labels
    try:
        with atomic_writer(target) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise InputError(f"{target}: not writable ({error.strerror})") from error
    return len(train), len(test)


def matching(keys: Iterator[tuple[str, str]], wanted: Mapping[str, str], *, where: str) -> list[int]:
    """Return the rows of the images that a list names, each as often as it is listed.

    Args:
        keys: class and shortened hash of each image.
        wanted: joined hashes by class.
    Raises:
        InputError: if one is missing.
    """
    left = Counter(
        (name, joined[start : start + DIGITS])
        for name, joined in wanted.items()
        for start in range(0, len(joined), DIGITS)
    )
    rows = []
    for row, key in enumerate(keys):
        if left[key] > 0:
            left[key] -= 1
            rows.append(row)
    if missing := sum(left.values()):
        name, digest = next(key for key, count in left.items() if count > 0)
        raise InputError(f"{where} lacks {missing:,} of the listed images, first {digest} of class '{name}'")
    return rows
