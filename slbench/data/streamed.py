"""Images of folders that stay on the disk: looked at once, with a note of what was found."""

import contextlib
import dataclasses
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from slbench.data.files import Digests, Files, Form
from slbench.data.images import Pixels, digest_of
from slbench.data.levels import levels, moments
from slbench.data.places import whole
from slbench.data.splits import Part, Splits, Survey, content_hash

PARTS = ("train", "test")
ABOUT = "about"  # everything of a note that is no array, as JSON


@dataclasses.dataclass(frozen=True)
class About:
    """What a note says beside its arrays."""

    files: str  # identity of the files it was made from
    form: Form
    survey: Survey


def surveyed(splits: Splits) -> Splits:
    """Splits on the disk with the digest of every image and what their survey found. Reads each image once."""
    digests: list[bytes] = []
    found = np.zeros((splits.train.images.shape[1], 256), dtype=np.int64)

    def see(image: Pixels) -> None:
        if len(digests) < len(splits.train):
            np.add(found, levels(image[None]), out=found)
        digests.append(digest_of(image))

    content = content_hash(splits, see=see)
    each = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)
    train, test = np.split(each, [len(splits.train)])
    return Splits(
        with_digests(splits.train, train),
        with_digests(splits.test, test),
        given=splits.given,
        survey=Survey(content, *moments(found)),
    )


def with_digests(part: Part, digests: Digests) -> Part:
    assert isinstance(part.images, Files)
    return Part(dataclasses.replace(part.images, digests=digests), part.labels)


def note(splits: Splits, path: Path, *, files: str) -> None:
    """Write down where the images of surveyed splits are, and what was found.

    Args:
        files: the identity of the files; the note is not believed for others.
    Raises:
        OSError: if there is no room or no right to.
    """
    images, survey = splits.train.images, splits.survey
    assert isinstance(images, Files) and survey is not None
    about = json.dumps(dataclasses.asdict(About(files, images.form, survey)))
    arrays: dict[str, np.ndarray] = {ABOUT: np.frombuffer(about.encode(), dtype=np.uint8)}
    for name, part in zip(PARTS, (splits.train, splits.test), strict=True):
        assert isinstance(part.images, Files) and part.images.digests is not None
        arrays |= {f"{name}_names": part.images.names, f"{name}_digests": part.images.digests}
        arrays[f"{name}_labels"] = part.labels
    if splits.given is not None:
        arrays["given"] = splits.given
    with whole(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own flags


def noted(path: Path, root: Path, *, files: str) -> Splits | None:
    """The splits that a note is on; None if there is none, or if it is damaged or on other files."""
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            about: About = TypeAdapter(About).validate_json(arrays[ABOUT].tobytes())
            if about.files != files:
                return None
            parts = [
                Part(
                    Files(root, arrays[f"{name}_names"], about.form, digests=arrays[f"{name}_digests"]),
                    arrays[f"{name}_labels"],
                )
                for name in PARTS
            ]
            return Splits(parts[0], parts[1], given=arrays.get("given"), survey=about.survey)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, ValidationError):
        return None


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Held against other processes that would make the same note; not held where nothing can be written."""
    from filelock import FileLock

    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        lock.release()
