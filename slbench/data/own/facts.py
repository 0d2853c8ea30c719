"""A user's own data set: its spec, noted by the identity of its files, and its prepared cache."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slbench.data.config import DataConfig, check_space, exclusive_lock
from slbench.data.specs import ARRAYS, DatasetSpec, as_counts
from slbench.errors import InputError, unreadable
from slbench.files import check_regular, read_regular, write_atomic
from slbench.registrations import called
from slbench.validation import adapter

if TYPE_CHECKING:
    from slbench.data.build import RawDataset
    from slbench.data.prepared import PreparedDataset

OWN = "own"  # name in a spec: equal images are equal data, whatever file holds them
VERSION = 2  # raise when the result for the same file changes
SHARE = 4  # decoded images of a folder are kept if the disk has so many times their size
Size = tuple[int, int]


@dataclass(frozen=True)
class DatasetSource:
    """Path and kind of a user's own data."""

    kind: Literal["npz", "folder", "plugin"]
    path: Path  # absolute; of a plugin its reference, which names a content and no place

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


def as_source(name: str) -> DatasetSource | None:
    """Return the source that `npz:PATH` or `folder:PATH` names, or a run's reference to a plugin; None for others.

    Raises:
        InputError: if no path follows.
    """
    kind, colon, path = name.partition(":")
    if not colon or kind not in ("npz", "folder", "plugin"):
        return None
    if kind == "plugin":
        return DatasetSource("plugin", Path(path))
    if not path.strip() or "\0" in path:
        raise InputError(f"'{name}': missing path after the colon")
    return DatasetSource("npz" if kind == "npz" else "folder", Path(path).expanduser().absolute())


def find_spec(source: DatasetSource, image_size: Size | None, config: DataConfig) -> DatasetSpec:
    """Return the spec of a user's data, with the hash of its content in place of its path.

    Reads the images the first time, afterwards a cached note while size and time of the files are unchanged.

    Args:
        image_size: (height, width) to which images of different sizes are resized.
    Raises:
        InputError: for invalid data, in one line that names the file.
    """
    note = note_of(source, image_size, config)
    if (noted := read_note(note)) is not None:
        return noted
    if source.kind == "plugin" and not config.runs_plugins:
        raise InputError(
            f"data set {source.path.name.partition('@')[0]}: its plugin has not been run on this machine, which this "
            "command does not do; slbench run-grid STUDY --plan does"
        )
    spec = spec_of(prepare_own(source, image_size, config))
    with contextlib.suppress(OSError):  # without the note everything is read again: slower, not wrong
        write_atomic(note, json.dumps(dataclasses.asdict(spec)).encode())
    return spec


def note_of(source: DatasetSource, image_size: Size | None, config: DataConfig) -> Path:
    return config.root / "facts" / f"{identity(source, image_size)}.json"


def read_note(path: Path) -> DatasetSpec | None:
    with contextlib.suppress(OSError, ValueError):  # pydantic's ValidationError among them
        spec: DatasetSpec = adapter(DatasetSpec).validate_json(read_regular(path))
        return spec
    return None


def own_class_names(spec: DatasetSpec, source: DatasetSource, config: DataConfig) -> tuple[str, ...] | None:
    """Return the names of the classes by label; None if the data have none or are not known to be those of the spec.

    No image is read: a note of `find_spec` must say that they are.

    Raises:
        InputError: for data that are missing or invalid.
    """
    noted = [read_note(note_of(source, size, config)) for size in (None, spec.image_size)]
    if source.kind == "plugin" or spec.content not in [each.content for each in noted if each is not None]:
        return None
    if source.kind == "npz":
        from slbench.data.own.npz import read_class_names

        names = read_class_names(source.path)
    else:
        from slbench.data.own.folder import layout

        names = list(layout(source.path).train)
    return tuple(names[: spec.num_classes]) or None


def prepare_own(source: DatasetSource, image_size: Size | None, config: DataConfig) -> "PreparedDataset":
    """Read the images of a source and write their cache, which is named by their content."""
    from slbench.data.cache import make

    folder, key = config.root / "prepared", identity(source, image_size)
    with exclusive_lock(folder / key), contextlib.ExitStack() as stack:
        if source.kind == "plugin":
            source = stack.enter_context(as_npz(source, config))
        return make(lambda: read(source, image_size, config), folder, key)


@contextlib.contextmanager
def as_npz(source: DatasetSource, config: DataConfig) -> Iterator[DatasetSource]:
    """Run a plugin and yield its arrays as a file, which disappears afterwards.

    Raises:
        InputError: with file and line if the plugin raises, or for arrays that are no data set.
    """
    import numpy as np

    name = source.path.name.partition("@")[0]
    arrays = called(str(source.path), "dataset")
    if not isinstance(arrays, dict) or not all(isinstance(value, np.ndarray) for value in arrays.values()):
        raise InputError(f"data set {name}: must return a dict of numpy arrays (got {type(arrays).__name__})")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.npz"
        np.savez(path, allow_pickle=False, **arrays)
        check_cache_space(config, sum(array.nbytes for array in arrays.values()))
        try:
            yield DatasetSource("npz", path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), f"data set {name}")) from error


def own_cache(spec: DatasetSpec, config: DataConfig) -> Path:
    """Return the folder of the prepared cache of a user's data."""
    return config.root / "prepared" / spec.content.removeprefix(ARRAYS)


def load_own(spec: DatasetSpec, source: DatasetSource, config: DataConfig) -> "PreparedDataset":
    """Return the cache of a source seen by `find_spec`, from the source again if it is missing.

    Its content may be another than the spec's.
    """
    from slbench.data.cache import obtain

    folder = own_cache(spec, config)

    def is_usable(prepared: "PreparedDataset") -> bool:
        """Return whether images that are not copied are those of this source."""
        return prepared.index.paths is None or prepared.index.paths["root"] == str(source.path)

    return obtain(
        folder,
        lambda: prepare_own(source, spec.image_size, config),
        of=spec.content,
        older=folder.with_suffix(".npz"),
        is_usable=is_usable,
    )


def identity(source: DatasetSource, image_size: Size | None) -> str:
    """Return a hash of path, size and time of all files of a source."""
    if source.kind == "plugin":
        content = json.dumps([VERSION, source.kind, image_size, str(source.path)])
        return hashlib.sha256(content.encode()).hexdigest()[:32]
    if source.kind == "npz":
        files = [source.path]
    else:
        from slbench.data.own.folder import layout

        files = layout(source.path).files
    try:
        stats = [signature(path) for path in files]
    except OSError as error:
        raise unreadable(error.filename or source.path, error) from error
    content = json.dumps([VERSION, source.kind, image_size, stats])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def signature(path: Path) -> tuple[str, int, int]:
    """Return path, size and time of a regular file. Raises OSError for anything else."""
    stat = path.stat()
    check_regular(stat.st_mode, path)
    return str(path), stat.st_size, stat.st_mtime_ns


def read(source: DatasetSource, image_size: Size | None, config: DataConfig) -> "RawDataset":
    """Return the images of a source. Images of a folder that would fill much of the disk stay in their files."""
    if source.kind == "npz":
        from slbench.data.own.npz import read_npz

        return read_npz(source.path, check_space=lambda needed: check_cache_space(config, needed))
    from slbench.data.own.folder import read_folder

    def copied(needed: int) -> bool:
        try:
            return SHARE * needed <= shutil.disk_usage(config.root).free
        except OSError:
            return False

    return read_folder(source.path, image_size, copied=copied)


def check_cache_space(config: DataConfig, needed: int) -> None:
    """Raise InputError if neither the data root nor the folder of temporary files has room to build a cache.

    Args:
        needed: size of all images, which are stored twice meanwhile.
    """
    with contextlib.suppress(OSError, InputError):
        check_space(Path(tempfile.gettempdir()), 2 * needed)
        return
    with contextlib.suppress(OSError):  # written elsewhere
        check_space(config.root, 2 * needed)


def spec_of(prepared: "PreparedDataset") -> DatasetSpec:
    """Return sizes, counts, statistics and the content hash of prepared images."""
    import numpy as np

    index, splits = prepared.index, prepared.splits(stream=True)
    labels = splits.train.labels
    num_classes = int(labels.max()) + 1
    channels, height, width = index.shape
    return DatasetSpec(
        name=OWN,
        content=ARRAYS + index.content,
        image_size=(height, width),
        in_channels=channels,
        num_classes=num_classes,
        train_counts=as_counts(np.bincount(labels, minlength=num_classes).tolist()),
        validation_counts=as_counts(np.bincount(labels[splits.held_out], minlength=num_classes).tolist()),
        num_test=len(splits.test),
        mean=index.mean,
        std=index.std,
    )
