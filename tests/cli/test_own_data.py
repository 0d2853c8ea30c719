"""Grids on a user's own images: npz files and folders are the same run, and worker processes find them."""

import json
import shutil
from pathlib import Path

import pytest

from slbench.record import RunRecord
from slbench.store import Store
from tests.cli.conftest import Command
from tests.data.made import made_arrays, write_folder, write_npz
from tests.support import missing

STUDY = """
[grid]
backbone = [{{ name = "vit", label = "Tiny", patch_size = 8, dim = 8, depth = 1, num_heads = 1 }}]
method = ["both"]
dataset = ["{dataset}"]
[set]
recipe.epochs = 2
recipe.batch_size = 8
recipe.precision = "fp32"
"""


def records(store: Path) -> dict[str, RunRecord]:
    return {record.run_id: record for record in Store(store).records()}


@pytest.mark.slow
def test_folders_and_npz_files_of_the_same_images_have_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slbench: Command
) -> None:
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path / "root"))
    arrays = made_arrays(train=67, test=13, shape=(16, 24, 3))
    sources = {
        "file": f"npz:{write_npz(tmp_path / 'birds.npz', arrays)}",
        "folder": f"folder:{write_folder(tmp_path / 'birds', arrays)}",
    }
    sources["streamed"] = sources["folder"]
    commands = {  # in this process and in a worker process
        "file": ("train",),
        "folder": ("train",),
        "streamed": ("run-grid", "--no-throughput", "--stream", "--data-root", tmp_path / "other"),
    }
    for name, source in sources.items():
        study = tmp_path / f"{name}.toml"
        study.write_text(STUDY.format(dataset=source))
        result = slbench(*commands[name], study, "--store", tmp_path / name, "--devices", "cpu")
        assert result.code == 0, result.out + result.err
        assert (name == "streamed") == (tmp_path / "other").exists()
        if name == "folder":
            shutil.rmtree(tmp_path / "root")
    assert not (tmp_path / "root").exists()  # worker processes use the data root of the flag
    first, second = records(tmp_path / "file"), records(tmp_path / "folder")
    assert len(first) == 1
    streamed = records(tmp_path / "streamed")
    assert {run_id: record.weights_sha256 for run_id, record in streamed.items()} == {
        run_id: record.weights_sha256 for run_id, record in first.items()
    }
    assert first.keys() == second.keys()
    for run_id, record in first.items():
        assert record.weights_sha256 == second[run_id].weights_sha256
        assert record.data_sha256 == second[run_id].data_sha256
        assert record.spec.dataset.content == f"arrays sha256:{record.data_sha256}"
        assert (record.labels.dataset, record.labels.data) == ("birds", sources["file"])
        assert second[run_id].labels.data == sources["folder"]


def test_a_moved_file_is_the_same_run_and_a_replaced_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slbench: Command
) -> None:
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path / "root"))
    path = write_npz(tmp_path / "birds.npz", made_arrays(train=67, shape=(16, 24, 3)))

    def planned(source: Path) -> list[str]:
        result = slbench(
            "run-grid", "--dataset", f"npz:{source}", "--plan", "--json", "--store", tmp_path / "r", "--batch-size", 8
        )
        return [run["run_id"] for run in json.loads(result.out)["runs"]]

    first = planned(path)
    shutil.move(path, tmp_path / "moved.npz")
    assert planned(tmp_path / "moved.npz") == first
    write_npz(path, made_arrays(train=67, shape=(16, 24, 3), seed=6))
    assert not set(planned(path)) & set(first)


def test_two_files_of_one_name_are_refused_in_one_study(tmp_path: Path, slbench: Command) -> None:
    (tmp_path / "other").mkdir()
    first = write_npz(tmp_path / "birds.npz", made_arrays(train=67, shape=(16, 24, 3)))
    second = write_npz(tmp_path / "other" / "birds.npz", made_arrays(train=67, shape=(16, 24, 3), seed=6))
    result = slbench("run-grid", "--dataset", f"npz:{first},npz:{second}", "--plan", "--batch-size", 8)
    result.check_error("birds", f"npz:{first}", f"npz:{second}")


def test_the_label_of_a_file_named_by_a_number_includes_its_kind(tmp_path: Path, slbench: Command) -> None:
    path = write_npz(tmp_path / "2024.npz", made_arrays(train=67, shape=(16, 24, 3)))
    result = slbench("run-grid", "--dataset", f"npz:{path}", "--plan", "--method", "none", "--batch-size", 8)
    assert not missing(result.out, "ViT none npz-2024 seed 0")


def test_a_damaged_image_is_one_line_and_creates_no_store(tmp_path: Path, slbench: Command) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays())
    bad = folder / "train" / "finch" / "bad.png"
    bad.write_bytes(b"no image")
    result = slbench("run-grid", "--dataset", f"folder:{folder}", "--store", tmp_path / "results")
    result.check_error("--dataset", bad)
    assert not (tmp_path / "results").exists()
