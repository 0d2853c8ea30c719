"""A user's own data as a data set: its spec, found once and remembered by the file's identity, and its images."""

import contextlib
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter, ValidationError

from slbench.data.places import data_root, whole
from slbench.data.specs import ARRAYS, DatasetSpec, as_counts
from slbench.errors import InputError

if TYPE_CHECKING:
    from slbench.data.splits import Part, Splits

OWN = "own"  # in a spec: the same images are the same data, whatever file they came in
VERSION = 1  # raised when what is found changes for the same file
Size = tuple[int, int]


@dataclass(frozen=True)
class Source:
    """Where a user's own data lie."""

    kind: Literal["npz", "folder"]
    path: Path  # absolute

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


def as_source(name: str) -> Source | None:
    """The place that `npz:PATH` or `folder:PATH` names; None for any other name.

    Raises:
        InputError: if no path follows.
    """
    kind, colon, path = name.partition(":")
    if not colon or kind not in ("npz", "folder"):
        return None
    if not path.strip():
        raise InputError(f"'{name}': needs a path after the colon")
    return Source("npz" if kind == "npz" else "folder", Path(path).expanduser().absolute())


def find_spec(source: Source, image_size: Size | None) -> DatasetSpec:
    """What a run must know of a user's data, its content by hash in place of its path.

    Reads the images the first time; afterwards, while the files keep their size and time, a note beside them.

    Args:
        image_size: (height, width) that images of different sizes are brought to.
    Raises:
        InputError: for anything wrong with the data, in one line that names the file.
    """
    note = data_root() / "facts" / f"{identity(source, image_size)}.json"
    try:
        return remembered(note)
    except (OSError, ValidationError):
        splits = read(source, image_size)
    spec = spec_of(splits)
    with contextlib.suppress(OSError):  # without the note it is found again: slower, not wrong
        if source.kind == "folder":
            from slbench.data.prepared import keep

            keep(splits, prepared_file(spec.content), of=spec.content)
        with whole(note) as file:
            file.write(json.dumps(dataclasses.asdict(spec)).encode())
    return spec


def remembered(note: Path) -> DatasetSpec:
    spec: DatasetSpec = TypeAdapter(DatasetSpec).validate_json(note.read_bytes())
    return spec


def identity(source: Source, image_size: Size | None) -> str:
    """A hash of path, size and time of all the files of a source."""
    if source.kind == "npz":
        files = [source.path]
    else:
        from slbench.data.folder import layout

        files = layout(source.path).files
    try:
        stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: no such file") from error
    except OSError as error:
        raise InputError(f"{source.path}: cannot be read: {error.strerror}") from error
    content = json.dumps([VERSION, source.kind, image_size, stats])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def read(source: Source, image_size: Size | None) -> "Splits":
    """The images of a source, in slbench's order."""
    from slbench.data.own import splits_of

    if source.kind == "npz":
        from slbench.data.npz import read_npz

        return splits_of(read_npz(source.path))
    from slbench.data.folder import layout, read_folder

    return splits_of(read_folder(layout(source.path), image_size))


def load_own(spec: DatasetSpec, source: Source) -> "Splits":
    """The images of a source that `find_spec` has seen."""
    from slbench.data.prepared import kept

    splits = kept(prepared_file(spec.content), of=spec.content) if source.kind == "folder" else None
    return splits if splits is not None else read(source, spec.image_size)


def prepared_file(content: str) -> Path:
    return data_root() / "prepared" / f"{content.removeprefix(ARRAYS)}.npz"


def spec_of(splits: "Splits") -> DatasetSpec:
    """Sizes, counts and statistics of images, and the hash of their content."""
    import numpy as np

    from slbench.data.splits import content_hash

    num_classes = int(splits.train.labels.max()) + 1
    validating = splits.train.labels[splits.held_out]
    _, channels, height, width = splits.train.images.shape
    mean, std = statistics(splits.train)
    return DatasetSpec(
        name=OWN,
        content=ARRAYS + content_hash(splits),
        image_size=(height, width),
        in_channels=channels,
        num_classes=num_classes,
        train_counts=as_counts(np.bincount(splits.train.labels, minlength=num_classes).tolist()),
        validation_counts=as_counts(np.bincount(validating, minlength=num_classes).tolist()),
        num_test=len(splits.test),
        mean=mean,
        std=std,
    )


def statistics(part: "Part") -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in [0, 1], to five digits; exact, whatever the order of images."""
    import numpy as np

    means, deviations = [], []
    for channel in range(part.images.shape[1]):
        blocks = np.array_split(part.images[:, channel], len(part) // 1000 + 1)  # bincount makes 8 bytes of each
        histogram = sum(np.bincount(block.ravel(), minlength=256) for block in blocks)
        levels, total = np.arange(256) / 255, np.sum(histogram)
        mean = float((histogram * levels).sum() / total)
        means.append(round(mean, 5))
        deviations.append(round(float((histogram * (levels - mean) ** 2).sum() / total) ** 0.5, 5))
    return tuple(means), tuple(deviation or 1.0 for deviation in deviations)  # a channel of one value stays 0
