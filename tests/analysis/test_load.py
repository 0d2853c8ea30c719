"""Loading of runs: weights and images match the record, or are refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from slbench.analysis.load import LoadedDatasets, PassOptions, evenly_spaced, load_network, run_with_capture
from slbench.analysis.run_selection import FinishedRun
from slbench.analysis.temperature import from_weights
from slbench.data import DataConfig
from slbench.data.batches import Batches
from slbench.errors import InputError
from slbench.store import Store
from slbench.study import Study, make_study
from tests.analysis.finished_runs import birds, finish, study_of
from tests.support import TINY, make_record, naming

CPU = torch.device("cpu")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return study_of(birds(tmp_path))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_the_network_has_the_kept_weights_and_is_in_eval_mode(study: Study, store: Store) -> None:
    run_ = finish(store, study.runs[1])
    network = load_network(run_, device=CPU)
    assert not network.training
    assert run_.weights is not None
    stored = load_file(run_.weights)
    assert list(stored) == sorted(network.state_dict())
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in stored.items())


def test_weights_that_differ_from_the_record_are_refused(study: Study, store: Store) -> None:
    run_, other = (finish(store, run) for run in study.runs)
    assert run_.weights is not None and other.weights is not None
    run_.weights.write_bytes(other.weights.read_bytes())
    with pytest.raises(InputError, match=naming("weights")):
        load_network(run_, device=CPU)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 64
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [flip_a_bit, cut, make_folder, make_fifo])
def test_weights_damaged_in_place_are_refused_in_one_line(
    study: Study, store: Store, damage: Callable[[Path], None]
) -> None:
    run_ = finish(store, study.runs[1])
    assert run_.weights is not None
    damage(run_.weights)
    for use in (lambda: load_network(run_, device=CPU), lambda: from_weights(run_)):
        with pytest.raises(InputError, match=naming(run_.weights)) as error:
            use()
        assert "\n" not in str(error.value)


def test_selected_weights_in_place_of_the_last_are_refused(study: Study, store: Store) -> None:
    run_ = finish(store, study.runs[1], keep="best", weights_sha256="5" * 64)
    assert load_network(run_, device=CPU) is not None
    assert run_.weights is not None
    last = run_.weights.with_name("weights.safetensors")
    run_.weights.rename(last)
    with pytest.raises(InputError, match=naming(last, "sha256")):
        load_network(run_, device=CPU)


def test_splits_are_those_of_the_run(tmp_path: Path, store: Store) -> None:
    data = birds(tmp_path)
    run = finish(store, study_of(data).runs[0])
    sizes = {split: len(LoadedDatasets().image_set(run, split)) for split in ("test", "val", "train")}
    assert sizes == {"test": 13, "val": 6, "train": 61}  # 67 less a tenth of each class, rounded
    part = finish(store, study_of(data, set={"dataset.per_class": 5}).runs[0])
    assert len(LoadedDatasets().image_set(part, "train")) == 15
    full = finish(store, study_of(data, protocol="full").runs[0])
    assert len(LoadedDatasets().image_set(full, "train")) == 67
    with pytest.raises(InputError, match=naming("--split", "val", "full")):
        LoadedDatasets().image_set(full, "val")


def test_images_that_differ_from_the_record_are_refused(tmp_path: Path, store: Store) -> None:
    study = study_of(birds(tmp_path))
    run_ = finish(store, study.runs[0], data_sha256="5" * 64)
    with pytest.raises(InputError, match=naming("sha256", "555555555555")):
        LoadedDatasets().image_set(run_, "test")
    changed = finish(store, study.runs[1])
    birds(tmp_path, seed=6)
    with pytest.raises(InputError) as error:
        LoadedDatasets(DataConfig(tmp_path / "empty")).image_set(changed, "test")
    assert "\n" not in str(error.value)
    (tmp_path / "birds.npz").unlink()
    with pytest.raises(InputError, match=naming("birds.npz")):
        LoadedDatasets(DataConfig(tmp_path / "empty")).image_set(changed, "test")


def test_a_missing_data_set_is_reported(store: Store) -> None:
    (run,) = make_study(
        {"grid": {"backbone": [TINY], "method": ["none"], "dataset": ["cifar10"]}}, name="x", where="x.toml"
    ).runs
    folder = store.begin(run.spec, run.labels)
    store.finish(folder, make_record(run))
    with pytest.raises(InputError, match=naming("slbench data fetch cifar10")):
        LoadedDatasets().image_set(FinishedRun(make_record(run), folder), "test")


def test_selected_images_are_evenly_spaced_over_a_split() -> None:
    assert evenly_spaced(13, at_most=None).tolist() == evenly_spaced(13, at_most=20).tolist() == list(range(13))
    assert evenly_spaced(13, at_most=5).tolist() == [0, 2, 5, 7, 10]


def test_a_pass_returns_the_logits_of_the_images_and_reports_progress(study: Study, store: Store) -> None:
    run_ = finish(store, study.runs[0])
    network, part = load_network(run_, device=CPU), LoadedDatasets().image_set(run_, "test")
    batches = Batches(part, run_.record.spec.dataset, device=CPU)
    progress: list[tuple[int, int]] = []
    captured: list[int] = []
    options = PassOptions(device=CPU, batch_size=2, on_progress=lambda done, total: progress.append((done, total)))
    rows = np.array([7, 1, 12])
    logits = run_with_capture(
        network, network.attention_layers(), batches, rows, lambda s: captured.append(s.layer.number), options=options
    )
    assert progress == [(2, 3), (3, 3)]
    assert captured == [1, 2, 1, 2]
    with torch.no_grad():
        whole = torch.cat([network(images) for images, _ in batches.in_order(13)])
    assert torch.allclose(logits, whole[rows], atol=1e-5)


def test_a_network_with_nan_logits_is_refused(study: Study, store: Store) -> None:
    run_ = finish(store, study.runs[0])
    network, part = load_network(run_, device=CPU), LoadedDatasets().image_set(run_, "test")
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    batches, options = Batches(part, run_.record.spec.dataset, device=CPU), PassOptions(device=CPU, batch_size=2)
    with pytest.raises(InputError, match=naming("logits")):
        run_with_capture(
            network, network.attention_layers(), batches, np.array([0, 1]), lambda captured: None, options=options
        )
