"""Lazy images: the same data, draws and weights as from memory."""

import dataclasses
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from slbench.data.image_arrays import ImageArrays
from slbench.data.image_files import ImageFiles
from slbench.data.own_split import in_memory
from slbench.data.prefetch import prefetch

from slbench.backbones.specs import ViTSpec
from slbench.data import ResolvedDataset, find, load
from slbench.data.splits import content_hash
from slbench.data.subset import subset
from slbench.errors import InputError
from slbench.methods import METHODS
from slbench.recipes import RECIPES
from slbench.record import Labels, RunRecord
from slbench.spec import RunSpec
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train.loop import Training
from tests.data.made import made_arrays, write_folder
from tests.support import missing, naming, train_here

pytestmark = pytest.mark.usefixtures("root")
RECIPE = dataclasses.replace(RECIPES["paper"], epochs=2, batch_size=16, lr=0.001, drop_path=0.1)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    return lambda lazy: monkeypatch.setenv("SLBENCH_STREAM", "1" if lazy else "")


Stream = Callable[[bool], None]
KINDS = ("folder", "npz", "packed")


def folder(path: Path, **how: Any) -> str:
    return f"folder:{write_folder(path / 'birds', made_arrays(**how))}"


def write_images(kind: str, path: Path, **how: Any) -> str:
    """Write the same images as a folder, an npz file or a compressed npz file."""
    if kind == "folder":
        return folder(path, **how)
    save = np.savez if kind == "npz" else np.savez_compressed
    save(path / "birds.npz", **made_arrays(**how))  # type: ignore[arg-type]
    return f"npz:{path / 'birds.npz'}"


def of_size(resolved: ResolvedDataset, size: tuple[int, int]) -> ResolvedDataset:
    return dataclasses.replace(resolved, spec=dataclasses.replace(resolved.spec, image_size=size))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("val", [0, 7])
@pytest.mark.parametrize("size", [(17, 19), (7, 5)])
def test_lazy_images_have_the_pixels_labels_split_and_hash_of_those_in_memory(
    tmp_path: Path, stream: Stream, size: tuple[int, int], val: int, kind: str
) -> None:
    resolved = of_size(find(write_images(kind, tmp_path, val=val)), size)
    kept = load(resolved.spec, resolved.source)
    stream(True)
    streamed = load(resolved.spec, resolved.source)
    again = load(resolved.spec, resolved.source)  # from the index
    assert streamed.lazy and again.lazy and not kept.lazy
    assert np.array_equal(np.stack(list(streamed.test.images)), np.stack(list(again.test.images)))
    for plain, lazy in ((kept.train, streamed.train), (kept.test, streamed.test)):
        assert np.array_equal(plain.array, np.stack(list(lazy.images)))
        assert np.array_equal(plain.labels, lazy.labels)
    assert np.array_equal(kept.held_out, streamed.held_out)
    assert content_hash(kept) == content_hash(streamed)
    assert content_hash(kept) == content_hash(dataclasses.replace(streamed, statistics=None))
    spec = dataclasses.replace(resolved.spec, fraction=0.4)
    few = [subset(splits.for_protocol("holdout")[0], spec, seed=3) for splits in (kept, streamed)]
    assert np.array_equal(few[0].array, np.stack(list(few[1].images)))


@pytest.mark.parametrize("shape", [(17, 19), (17, 19, 3), (17, 19, 5)])
@pytest.mark.parametrize("kind", ["npz", "packed"])
def test_the_spec_of_a_file_is_the_same_when_memory_is_short(
    tmp_path: Path, root: Path, request: pytest.FixtureRequest, kind: str, shape: tuple[int, ...]
) -> None:
    name = write_images(kind, tmp_path, shape=shape, val=7)
    plenty = find(name)
    kept = load(plenty.spec, plenty.source)
    shutil.rmtree(root)
    request.getfixturevalue("little")
    assert find(name) == plenty
    streamed = load(plenty.spec, plenty.source)
    assert streamed.lazy and not kept.lazy
    assert np.array_equal(kept.train.array, np.stack(list(streamed.train.images)))


@pytest.mark.parametrize("split", [True, False])
def test_the_spec_of_a_folder_is_the_same_when_memory_is_short(
    tmp_path: Path, root: Path, request: pytest.FixtureRequest, split: bool
) -> None:
    name = folder(tmp_path)
    if not split:
        name += "/train"
    odd = tmp_path / "birds" / "train" / "finch" / "odd.png"
    Image.fromarray(np.arange(23 * 29, dtype=np.uint8).reshape(23, 29)).save(odd)
    plenty = find(name, image_size=(11, 13))
    shutil.rmtree(root)
    request.getfixturevalue("little")
    short = find(name, image_size=(11, 13))
    assert short == plenty
    assert load(short.spec, short.source).lazy
    assert {path.suffixes[-2] for path in (root / "prepared").glob("*.npz")} == {".note"}  # no images


def trained(resolved: ResolvedDataset, store: Path, **changes: Any) -> RunRecord:
    spec = RunSpec.resolve(
        backbone=ViTSpec(patch_size=8, dim=8, depth=2, num_heads=1),
        method=METHODS["both"],
        dataset=dataclasses.replace(resolved.spec, **changes),
        recipe=RECIPE,
        protocol="holdout",
        seed=5,
    )
    labels = Labels(backbone="tiny", method="both", dataset=resolved.label, data=resolved.source)
    return train_here(StudyRun(spec, labels), Store(store), checkpoint_seconds=0.0)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        pytest.param("folder", {}, marks=pytest.mark.slow),
        ("folder", {"image_size": (24, 16)}),
        pytest.param("folder", {"fraction": 0.5}, marks=pytest.mark.slow),
        pytest.param("npz", {}, marks=pytest.mark.slow),
        ("packed", {"image_size": (24, 16), "fraction": 0.5}),
    ],
    ids=str,
)
def test_streamed_and_in_memory_give_the_same_weights_also_after_a_stop_within_an_epoch(
    tmp_path: Path, stream: Stream, monkeypatch: pytest.MonkeyPatch, kind: str, changes: dict[str, Any]
) -> None:
    resolved = find(write_images(kind, tmp_path, train=67, test=13, shape=(16, 24, 3)))
    kept = trained(resolved, tmp_path / "kept", **changes)
    stream(True)
    counted = decoded(monkeypatch)
    streamed = trained(resolved, tmp_path / "streamed", **changes)
    assert counted["images"] > 2 * 80  # once more in each of two epochs
    assert (streamed.weights_sha256, streamed.data_sha256) == (kept.weights_sha256, kept.data_sha256)
    assert (streamed.final_test_loss, streamed.run_id) == (kept.final_test_loss, kept.run_id)

    right, steps = Training._step, iter(range(100))

    def deadly(self: Training, *arguments: Any, **how: Any) -> torch.Tensor:
        if next(steps) == 5:
            raise KeyboardInterrupt
        return right(self, *arguments, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", deadly)
        with pytest.raises(KeyboardInterrupt):
            trained(resolved, tmp_path / "stopped", **changes)
    assert next(steps) == 6
    resumed = trained(resolved, tmp_path / "stopped", **changes)
    assert resumed.weights_sha256 == kept.weights_sha256


def spoil(path: Path, how: str) -> None:
    times = path.stat()
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        Image.fromarray(np.zeros((16, 24, 3), dtype=np.uint8)).save(path)
    if how != "gone":
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("gone", ("file",)),
        ("cut", ("damaged",)),
        ("another", ("changed",)),
    ],
)
def test_an_image_that_changes_during_training_ends_the_run_and_is_named(
    tmp_path: Path, stream: Stream, monkeypatch: pytest.MonkeyPatch, how: str, complaint: tuple[object, ...]
) -> None:
    resolved = find(folder(tmp_path, train=67, test=13, shape=(16, 24, 3)))
    stream(True)
    images = load(resolved.spec, resolved.source).test.images
    assert isinstance(images, ImageFiles)
    bad, right = images.path(6), Training._step

    def spoiling(self: Training, *arguments: Any, **keywords: Any) -> torch.Tensor:
        if bad.exists():
            spoil(bad, how)
        return right(self, *arguments, **keywords)

    monkeypatch.setattr(Training, "_step", spoiling)
    with pytest.raises(InputError) as ended:
        trained(resolved, tmp_path / "results")
    assert not missing(str(ended.value), bad, *complaint)
    assert "\n" not in str(ended.value)
    assert not list(Store(tmp_path / "results").records())


def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the images that are read from now on."""
    counted = Counter[str]()

    def count(kind: type[ImageFiles] | type[ImageArrays]) -> None:
        right = kind.decoded

        def counting(self: Any, row: int) -> Any:
            counted["images"] += 1
            return right(self, row)

        monkeypatch.setattr(kind, "decoded", counting)

    count(ImageFiles)
    count(ImageArrays)
    return counted


def test_images_are_indexed_once_and_again_when_the_files_or_the_index_change(
    tmp_path: Path, root: Path, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream(True)
    resolved = find(folder(tmp_path))
    small = of_size(resolved, (7, 5))
    first, resized = load(resolved.spec, resolved.source), load(small.spec, small.source)
    counted = decoded(monkeypatch)
    assert content_hash(load(resolved.spec, resolved.source)) == content_hash(first)
    assert content_hash(load(small.spec, small.source)) == content_hash(resized)
    assert not counted
    for path in (root / "prepared").glob("*.note.npz"):
        path.write_bytes(path.read_bytes()[:300])
    assert content_hash(load(small.spec, small.source)) == content_hash(resized)
    assert counted["images"] == 3 * 42  # for their order, their hash and their resized hash
    spoil(next((tmp_path / "birds").rglob("*.png")), "another")
    with pytest.raises(InputError, match=naming("own", "sha256")):
        load(resolved.spec, resolved.source)


def test_a_moved_folder_is_read_at_its_new_path(tmp_path: Path, stream: Stream) -> None:
    stream(True)
    resolved = find(folder(tmp_path))
    shutil.move(tmp_path / "birds", tmp_path / "moved")
    moved = find(f"folder:{tmp_path}/moved")
    assert moved.spec == resolved.spec
    images = load(moved.spec, moved.source).train.images
    assert isinstance(images, ImageFiles) and images.path(0).is_relative_to(tmp_path / "moved")


def test_large_images_that_fit_into_memory_after_resizing_are_kept_resized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    class Enough:
        available = 3 * 42 * 3 * 7 * 5

    name = folder(tmp_path)
    monkeypatch.setattr("psutil.virtual_memory", Enough)
    small = of_size(find(name), (7, 5))
    splits = load(small.spec, small.source)
    assert not splits.lazy
    request.getfixturevalue("little")
    streamed = load(small.spec, small.source)
    assert streamed.lazy
    assert np.array_equal(splits.train.array, in_memory(streamed).train.array)
    assert content_hash(splits) == content_hash(streamed)


def test_a_read_only_data_root_does_not_matter(tmp_path: Path, root: Path, stream: Stream) -> None:
    root.write_text("a file where the folder should be")
    stream(True)
    resolved = find(folder(tmp_path))
    assert load(resolved.spec, resolved.source).lazy
    assert root.read_text() == "a file where the folder should be"


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize(("group", "groups"), [(1, 1), (1, 5), (3, 2), (11, 2), (100, 1)])
def test_results_are_in_order_for_any_number_of_threads(threads: int, group: int, groups: int) -> None:
    others_done = threading.Event()

    def task(number: int) -> int:
        if number == 0 and threads > 1 and groups > 1 and group < 11:
            assert others_done.wait(10)  # the first ends last
        if number == group:
            others_done.set()
        return number**2

    results = list(prefetch(range(11), task, threads=threads, group=group, groups=groups))
    assert results == [number**2 for number in range(11)]


def test_no_tasks_give_no_results() -> None:
    assert list(prefetch([], str)) == []


def test_an_error_is_raised_in_place_of_its_result_and_later_tasks_are_not_begun() -> None:
    begun = []

    def task(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise InputError("the third")
        return number

    results = prefetch(range(1000), task, threads=1, group=2, groups=3)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="the third"):
        next(results)
    assert max(begun) < 10
