"""`slbench show`, `slbench evaluate` and `--force`, on a grid that is trained once."""

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from slbench.cli import main
from slbench.data import DATASETS, load
from slbench.record import RunRecord
from slbench.store import Store
from slbench.study import StudyRun
from slbench.study.command import train_command
from tests.cli.conftest import Command
from tests.data.made import made_arrays, write_folder, write_npz
from tests.support import TINY, missing, runs, study

GRID = """
[grid]
backbone = [{ name = "vit", label = "Tiny", patch_size = 16, dim = 8, depth = 1, num_heads = 1 }]
method = ["none"]
[set]
recipe.epochs = 2
recipe.batch_size = 512
recipe.precision = "fp32"
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study and a store with its run, trained."""
    folder = tmp_path_factory.mktemp("show")
    (folder / "grid.toml").write_text(GRID)
    arguments = ["train", str(folder / "grid.toml"), "--store", str(folder / "results"), "--devices", "cpu"]
    assert main(arguments) == 0
    return folder


def record_in(folder: Path) -> RunRecord:
    (record,) = Store(folder / "results").records()
    return record


def test_show_prints_results_command_versions_and_curve(slbench: Command, trained: Path) -> None:
    record = record_in(trained)
    result = slbench("show", record.run_id[:6], "--store", trained / "results")
    assert (result.code, result.err) == (0, "")
    accuracy, curve = f"{record.final_test_top1:.2f} %", f"{record.final_train_loss:.2f}"
    assert not missing(result.out, "done", record.run_id, accuracy, "torch ", "training loss", curve, "recipe")
    assert "best test" not in result.out  # which the protocol does not select by
    document = json.loads(slbench("show", record.run_id, "--store", trained / "results", "--json").out)
    assert (document["state"], len(document["epochs"])) == ("done", 2)
    assert f"  {document['command']}\n" in result.out


@pytest.mark.parametrize(
    "run",
    [
        *runs({"backbone": ["vit", "swin-tiny"], "method": ["both", "spt-no-pool"]}, set={"dataset.image_size": 224})[
            :2
        ],
        *runs({"backbone": [TINY], "method": ["lsa"], "seed": [7]}, set={"method.initial_temperature": 0.5}),
        *study({"recipe": "released", "protocol": "paper", "grid": {"backbone": ["cait"], "recipe.lr": [0.5]}}).runs[
            3:
        ],
        *study({"method": [{"name": "mine", "shift": "all8"}], "grid": {"method": ["mine"]}}).runs,
    ],
    ids=lambda run: run.cell,
)
def test_the_command_of_a_run_makes_the_same_run(run: StudyRun, slbench: Command, tmp_path: Path) -> None:
    command = train_command(run.spec, run.labels)
    assert command is not None
    words = ["run-grid" if word == "train" else word for word in shlex.split(command)[1:]]
    seed = words.index("--seed")
    assert words[seed + 1] == str(run.spec.seed)
    words[seed : seed + 2] = ["--seeds", str(run.spec.seed + 1)]
    plan = slbench(*words, "--dry-run", "--json", "--store", tmp_path / "results")
    assert run.spec.run_id in [each["run_id"] for each in json.loads(plan.out)["runs"]]


def test_a_run_of_other_numerics_has_no_command_that_reproduces_it() -> None:
    (run,) = runs()
    other = dataclasses.replace(run.spec, numerics={**run.spec.numerics, "vit": 99})
    assert train_command(other, run.labels) is None


def test_a_paused_run_is_shown_with_the_command_that_continues_it(slbench: Command, tmp_path: Path) -> None:
    store, (run,) = Store(tmp_path), runs()
    folder = store.begin(run.spec, run.labels, command="slbench run-grid mine.toml")
    (folder / "checkpoint.pt").touch()
    result = slbench("show", run.spec.run_id, "--store", tmp_path)
    assert not missing(result.out, "paused", "at epoch 1", "  slbench run-grid mine.toml\n")
    (folder / "spec.json").write_text("{")
    slbench("show", run.spec.run_id, "--store", tmp_path).check_error("spec.json")


def test_evaluation_on_its_own_test_images_gives_the_accuracy_of_the_record(slbench: Command, trained: Path) -> None:
    record = record_in(trained)
    arguments = ["evaluate", record.run_id, "--store", trained / "results", "--device", "cpu"]
    result = slbench(*arguments, "--dataset", "fashion-mnist-12k", "--json")
    (found,) = json.loads(result.out)
    assert (found["top1"], found["top5"]) == (record.final_test_top1, record.final_test_top5)
    assert found["loss"] == pytest.approx(record.final_test_loss, abs=1e-6)
    assert found["low"] < found["top1"] < found["high"] and found["images"] == 2000
    assert not missing(slbench(*arguments, "--dataset", "fashion-mnist-12k").out, "own data", "2,000 images")


def test_evaluation_on_other_data_matches_classes_by_name(slbench: Command, trained: Path, tmp_path: Path) -> None:
    """Test images of two classes, in another order and upscaled, keep the predictions of the run."""
    record, spec = record_in(trained), DATASETS["fashion-mnist-12k"].spec
    test = load(spec).test
    names = ("Trouser", "Bag")
    numbers = {"Trouser": 1, "Bag": 8}
    rows = np.flatnonzero(np.isin(test.labels, list(numbers.values())))
    images = test.array[rows].transpose(0, 2, 3, 1)
    labels = np.array([list(numbers.values()).index(label) for label in test.labels[rows]])
    arrays = {"classes": np.array(names), "train_images": images, "train_labels": labels}
    npz = write_npz(tmp_path / "two.npz", {**arrays, "test_images": images, "test_labels": labels})
    arguments = ["evaluate", record.run_id, "--store", trained / "results", "--device", "cpu", "--json", "--dataset"]
    (own,) = json.loads(slbench(*arguments, "fashion-mnist-12k").out)
    (found,) = json.loads(slbench(*arguments, f"npz:{npz}").out)
    assert found["images"] == len(rows) == 400
    assert found["class_top1"] == {name: own["class_top1"][name] for name in names}
    birds = write_folder(tmp_path / "birds", made_arrays(shape=(32, 32)))
    slbench(*arguments, f"folder:{birds}").check_error("--dataset", "heron", "Trouser")
    colored = write_npz(tmp_path / "colored.npz", made_arrays())
    slbench(*arguments, f"npz:{colored}").check_error("--dataset", "3 channels", "1")
    slbench("evaluate", record.run_id, "--store", trained / "results").check_error("--dataset")


def test_forced_runs_are_trained_again_and_their_records_are_kept_beside(
    slbench: Command, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    folder, before = tmp_path / "copy", record_in(trained)
    arguments = ["train", folder / "grid.toml", "--store", folder / "results", "--devices", "cpu", "--force"]
    result = slbench(*arguments)
    assert result.code == 0 and not missing(result.out, "again", "same weights, bit for bit", "replaced")
    assert record_in(folder).weights_sha256 == before.weights_sha256
    (kept,) = (folder / "results" / "replaced").iterdir()
    assert json.loads((kept / "record.json").read_text())["started_at"] == before.started_at
    claim = Store(folder / "results").claims.acquire(before.run_id)
    assert claim is not None
    slbench(*arguments).check_error("--force", before.run_id, "another process")
    claim.release(done=True)
    plan = slbench("run-grid", folder / "grid.toml", "--store", folder / "results", "--force", "--plan")
    assert not missing(plan.out, "1 ended run", "again") and len(list((folder / "results" / "replaced").iterdir())) == 1
    assert "continue" not in re.sub(r"\s", "", slbench("status", "--store", folder / "results").out)
    arguments[1:2] = [folder / "grid.toml", "--dataset", "cifar10", "--data-root", tmp_path / "empty"]
    assert slbench(*arguments).code == 2
    assert record_in(folder).run_id == before.run_id  # nothing is moved if the new run could not start
