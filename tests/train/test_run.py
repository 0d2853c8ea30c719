"""One run from spec to record, on the embedded data, small."""

import csv
import dataclasses
import hashlib
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from slbench.errors import TrainingError
from slbench.methods import METHODS
from slbench.record import RunRecord
from slbench.run_paths import RunPaths
from slbench.spec import Protocol
from slbench.store import Store
from slbench.torch_runtime import reproducible
from slbench.train.loop import EpochMetrics, Evaluation
from slbench.train.run import accuracies
from tests.support import naming
from tests.train.helpers import RECIPE, run, tiny

Run = tuple[RunRecord, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run and its folder."""
    return run(tiny(), tmp_path_factory.mktemp("made"))


def test_a_run_leaves_its_record_history_weights_and_logits(made: Run) -> None:
    record, folder = made
    assert Store(folder.parent.parent).record(record.run_id) == record
    with (folder / record.history).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["test_top1"]) == record.final_test_top1
    assert float(rows[record.selected_epoch - 1]["test_top1"]) == record.selected_test_top1  # type: ignore[operator]
    assert record.best_test_top1 == max(float(row["test_top1"]) for row in rows)
    assert (record.steps, record.samples_seen) == (18, 1_800)
    assert hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest() == record.weights_sha256
    stored = load_file(folder / "test_logits.safetensors")
    assert stored["logits"].dtype == torch.float16
    assert stored["logits"].shape == (2000, 10)
    top1 = (stored["logits"].float().argmax(dim=1) == stored["labels"]).float().mean().item() * 100
    assert top1 == pytest.approx(record.final_test_top1, abs=0.3)  # float16 may swap a tie
    assert record.params == sum(value.numel() for value in load_file(folder / "weights.safetensors").values())
    assert record.macs > 0
    assert tiny().dataset.content == f"arrays sha256:{record.data_sha256}"


def test_the_same_spec_gives_the_same_weights_whatever_the_process_drew_before_and_another_seed_others(
    made: Run, tmp_path: Path
) -> None:
    torch.manual_seed(123)
    torch.rand(7)
    again, other = run(tiny(), tmp_path / "b")[0], run(tiny(seed=1), tmp_path / "c")[0]
    timed = {"seconds", "started_at", "train_images_per_second", "peak_memory_bytes"}
    assert made[0].model_dump(exclude=timed) == again.model_dump(exclude=timed)
    assert other.weights_sha256 != made[0].weights_sha256


@pytest.mark.parametrize("protocol", ["full", "paper"])
def test_without_a_validation_split_nothing_is_selected(tmp_path: Path, protocol: Protocol) -> None:
    record, folder = run(tiny(protocol=protocol), tmp_path)
    assert record.selected_test_top1 is None
    assert record.selected_epoch is None
    assert record.final_val_top1 is None
    assert record.samples_seen == 2_000
    assert ",,," not in (folder / record.history).read_text().splitlines()[0]
    assert record.final_test_top1 > 10


def test_the_three_accuracies_are_of_the_epochs_they_name() -> None:
    curve = [(50.0, 40.0), (60.0, 45.0), (60.0, 70.0), (55.0, 42.0)]  # validation, test
    history = [
        EpochMetrics(
            epoch=number,
            lr=0.1,
            train_loss=1.0,
            val_loss=1.0,
            val_top1=val,
            test_loss=1.0,
            test_top1=test,
            test_top5=99.0,
            scales_below_zero=number % 3,
            train_seconds=1.0,
        )
        for number, (val, test) in enumerate(curve, start=1)
    ]
    fields = accuracies(history)
    assert fields["scales_below_zero"] == 2  # after the second epoch, though one is left after the last
    assert (fields["final_test_top1"], fields["selected_test_top1"], fields["best_test_top1"]) == (42, 45, 70)
    assert (fields["selected_epoch"], fields["best_test_epoch"]) == (2, 3)  # the first of equals


def test_a_scale_that_crosses_zero_is_flagged_in_the_record(tmp_path: Path) -> None:
    """A thousandth of the usual scale is crossed by a step or two at this rate."""
    method = dataclasses.replace(METHODS["both"], initial_temperature=1000.0)
    record, folder = run(
        dataclasses.replace(tiny(recipe=dataclasses.replace(RECIPE, lr=0.01)), method=method), tmp_path
    )
    below = Counter[str]()
    with (folder / RunPaths.temperatures).open() as file:
        for row in csv.DictReader(file):
            below[row["epoch"]] += float(row["scale"]) < 0
    assert below["0"] == 0
    assert record.scales_below_zero == max(below.values()) > 0
    with (folder / record.history).open() as file:
        assert [int(row["scales_below_zero"]) for row in csv.DictReader(file)] == [below["1"], below["2"]]


def test_accuracies_are_counted_in_percent() -> None:
    falling = torch.tensor([6.0, 5, 4, 3, 2, 1, 0]).repeat(4, 1)  # class 0 first, class 6 last
    evaluation = Evaluation.of(falling, torch.tensor([0, 0, 6, 4]))
    assert (evaluation.top1, evaluation.top5) == (50, 75)
    assert Evaluation.of(torch.zeros(2, 3), torch.tensor([0, 2])).loss == pytest.approx(math.log(3))


def test_a_loss_that_is_no_number_ends_the_run_and_files_nothing(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, lr=1e30)
    with pytest.raises(TrainingError, match=naming("nan", "step 3", "epoch 1", "recipe.lr")):
        run(tiny(recipe=recipe), tmp_path)
    assert Store(tmp_path).record(tiny(recipe=recipe).run_id) is None


def test_bf16_trains_and_says_so(tmp_path: Path) -> None:
    record = run(tiny(recipe=dataclasses.replace(RECIPE, epochs=1, batch_size=500)), tmp_path, precision="bf16")[0]
    assert record.precision == "bf16"
    assert math.isfinite(record.final_train_loss)


def test_threads_and_determinism_are_set_and_given_back() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with reproducible(2):
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
