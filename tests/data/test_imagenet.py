"""ImageNet as a user's folder: found in the data root, counted, and resized."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slbench.data import find, imagenet, load
from slbench.errors import InputError
from tests.data.made import made_arrays, write_folder
from tests.support import missing


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data root with a small folder in the layout of ImageNet."""
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path))
    folder = write_folder(tmp_path / "imagenet", made_arrays())
    Image.fromarray(np.full((5, 7), 9, dtype=np.uint8)).save(folder / "train" / "finch" / "grey.png")
    (folder / "test").rename(folder / "val")
    return tmp_path


def test_a_missing_folder_is_an_error_that_names_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path))
    with pytest.raises(InputError) as refused:
        find("imagenet")
    assert not missing(str(refused.value), "imagenet", tmp_path, f"{tmp_path}/imagenet", "train/", "val/")


def test_an_incomplete_folder_is_refused_with_its_counts(root: Path) -> None:
    with pytest.raises(InputError) as refused:
        find("imagenet")
    assert not missing(
        str(refused.value), f"{root}/imagenet", "3 classes", "32", "11", "1,000 classes", "1,281,167", "50,000"
    )


@pytest.mark.usefixtures("root")
def test_a_complete_folder_is_resized_and_normalised_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "CLASSES", 3)
    monkeypatch.setattr(imagenet, "TRAIN", 32)
    monkeypatch.setattr(imagenet, "TEST", 11)
    resolved = find("imagenet")
    assert (resolved.spec.name, resolved.spec.image_size, resolved.spec.mean) == ("imagenet", (224, 224), imagenet.MEAN)
    assert load(resolved.spec, resolved.source).test.images.shape == (11, 3, 224, 224)
    assert find("imagenet", image_size=(32, 48)).spec.image_size == (32, 48)
