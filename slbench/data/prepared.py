"""Images in slbench's order kept as an npz file, so that they are decoded and sorted once."""

import json
import zipfile
from pathlib import Path

import numpy as np

from slbench.data.places import whole
from slbench.data.splits import Part, Splits, content_hash

IMAGES = ("train_images", "train_labels", "test_images", "test_labels")


def keep(splits: Splits, path: Path, *, of: str) -> None:
    """Write the splits under a path, and beside them the hash of their content.

    Args:
        of: the `content` of the data set's spec; splits kept for another are not given out.
    Raises:
        OSError: if there is no room or no right to.
    """
    arrays = dict(
        zip(IMAGES, (splits.train.array, splits.train.labels, splits.test.array, splits.test.labels), strict=True)
    )
    if splits.given is not None:
        arrays["given"] = splits.given
    with whole(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own flags
    with whole(sidecar(path)) as file:
        file.write(json.dumps({"of": of, "content": content_hash(splits)}).encode())


def kept(path: Path, *, of: str) -> Splits | None:
    """The splits kept under a path; None if there are none, or if they are not what was written."""
    try:
        noted = json.loads(sidecar(path).read_bytes())
        if noted["of"] != of:
            return None
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            train, test = Part(file[IMAGES[0]], file[IMAGES[1]]), Part(file[IMAGES[2]], file[IMAGES[3]])
            splits = Splits(train, test, given=file.get("given"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return splits if content_hash(splits) == noted["content"] else None


def sidecar(path: Path) -> Path:
    return path.with_suffix(".json")
