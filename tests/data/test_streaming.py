"""Images read on access: the same data, draws and weights as from memory."""

import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from slbench.backbones.specs import ViTSpec
from slbench.data import ResolvedDataset, find, load
from slbench.data.images.prefetch import prefetch
from slbench.data.images.source import Size
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
from tests.support import missing, train_here

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


def of_size(resolved: ResolvedDataset, size: Size) -> ResolvedDataset:
    return dataclasses.replace(resolved, spec=dataclasses.replace(resolved.spec, image_size=size))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(17, 19), (7, 5)])
def test_streamed_images_have_the_pixels_labels_split_and_hash_of_those_in_memory(
    tmp_path: Path, stream: Stream, size: Size, kind: str
) -> None:
    resolved = of_size(find(write_images(kind, tmp_path, val=7)), size)
    kept = load(resolved.spec, resolved.source)
    stream(True)
    streamed = load(resolved.spec, resolved.source)
    assert streamed.streamed and not kept.streamed
    for plain, lazy in ((kept.train, streamed.train), (kept.test, streamed.test)):
        assert np.array_equal(plain.array, np.stack(list(lazy.images)))
        assert np.array_equal(plain.labels, lazy.labels)
    assert np.array_equal(kept.held_out, streamed.held_out)
    assert kept.content == streamed.content == content_hash(dataclasses.replace(streamed, content=None))
    spec = dataclasses.replace(resolved.spec, fraction=0.4)
    few = [subset(splits.for_protocol("holdout")[0], spec, seed=3) for splits in (kept, streamed)]
    assert np.array_equal(few[0].array, np.stack(list(few[1].images)))


def test_images_are_streamed_if_they_do_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = find(write_images("npz", tmp_path))
    small = of_size(resolved, (7, 5))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=3 * small.spec.num_bytes))
    assert load(resolved.spec, resolved.source).streamed
    assert not load(small.spec, small.source).streamed


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
        pytest.param("folder", {"image_size": (24, 16)}, marks=pytest.mark.slow),
        pytest.param("folder", {"fraction": 0.5}, marks=pytest.mark.slow),
        pytest.param("npz", {}, marks=pytest.mark.slow),
        ("packed", {"image_size": (24, 16), "fraction": 0.5}),
    ],
    ids=str,
)
def test_streamed_and_in_memory_training_give_the_same_weights_even_after_a_resume(
    tmp_path: Path, stream: Stream, monkeypatch: pytest.MonkeyPatch, kind: str, changes: dict[str, Any]
) -> None:
    resolved = find(write_images(kind, tmp_path, train=67, test=13, shape=(16, 24, 3)))
    kept = trained(resolved, tmp_path / "kept", **changes)
    stream(True)
    streamed = trained(resolved, tmp_path / "streamed", **changes)
    assert (streamed.weights_sha256, streamed.data_sha256) == (kept.weights_sha256, kept.data_sha256)
    assert (streamed.final_test_loss, streamed.run_id) == (kept.final_test_loss, kept.run_id)

    real_step, steps = Training._step, iter(range(100))

    def interrupted(self: Training, *arguments: Any, **how: Any) -> torch.Tensor:
        if next(steps) == 5:
            raise KeyboardInterrupt
        return real_step(self, *arguments, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(resolved, tmp_path / "stopped", **changes)
    assert next(steps) == 6
    resumed = trained(resolved, tmp_path / "stopped", **changes)
    assert resumed.weights_sha256 == kept.weights_sha256


@pytest.mark.parametrize("how", ["truncated", "changed"])
def test_a_cache_that_changes_during_training_stops_the_run(
    tmp_path: Path, stream: Stream, root: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    resolved = find(folder(tmp_path, train=67, test=13, shape=(16, 24, 3)))
    stream(True)
    (images,) = root.rglob("test_images.npy")
    real_step = Training._step

    def damaging(self: Training, *arguments: Any, **keywords: Any) -> torch.Tensor:
        if how == "truncated":
            os.truncate(images, 2000)
        else:
            images.write_bytes(b"x" * images.stat().st_size)
        return real_step(self, *arguments, **keywords)

    monkeypatch.setattr(Training, "_step", damaging)
    with pytest.raises(InputError) as ended:
        trained(resolved, tmp_path / "results")
    assert not missing(str(ended.value), images, "changed")
    assert "\n" not in str(ended.value)
    assert not list(Store(tmp_path / "results").records())


@pytest.mark.parametrize("how", ["gone", "cut", "another"])
def test_a_changed_file_of_an_uncached_folder_is_named(
    tmp_path: Path, root: Path, stream: Stream, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """On a disk without room for decoded images they stay in their files."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=50_000))
    resolved = find(folder(tmp_path))
    assert not list(root.rglob("*_images.npy"))
    stream(True)
    splits = load(resolved.spec, resolved.source)
    assert content_hash(dataclasses.replace(splits, content=None)) == splits.content
    bad = tmp_path / "birds" / splits.test.images.reader.paths[splits.test.images.rows[6]]  # type: ignore[attr-defined]
    if how == "gone":
        bad.unlink()
    elif how == "cut":
        bad.write_bytes(bad.read_bytes()[:200])
    else:
        Image.fromarray(np.zeros((17, 19, 3), dtype=np.uint8)).save(bad)
    with pytest.raises(InputError) as ended:
        list(splits.test.images)
    assert not missing(str(ended.value), bad, {"gone": "file", "cut": "damaged", "another": "changed"}[how])


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


def test_an_error_is_raised_in_place_of_its_result_and_later_tasks_are_not_started() -> None:
    started = []

    def task(number: int) -> int:
        started.append(number)
        if number == 3:
            raise InputError("the third")
        return number

    results = prefetch(range(1000), task, threads=1, group=2, groups=3)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="the third"):
        next(results)
    assert max(started) < 10
