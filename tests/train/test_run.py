"""One small run of the embedded data from spec to record."""

import csv
import dataclasses
import hashlib
import math
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from slbench.errors import DivergedError, StoreError
from slbench.history import EpochMetrics, results_of
from slbench.methods import METHODS
from slbench.record import RunRecord
from slbench.record_files import problems
from slbench.report.metrics import value_of
from slbench.run_paths import RunPaths
from slbench.spec import Protocol
from slbench.store import Store, read_ended
from slbench.stored_outputs import read_correct, read_outputs
from slbench.table_spec import METRICS
from slbench.torch_runtime import reproducible
from slbench.train.loop import Evaluation
from slbench.train.run import stored_outputs
from tests.support import make_record, naming, runs
from tests.train.helpers import RECIPE, execute, run, tiny

Run = tuple[RunRecord, Path]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the record and the folder of a run."""
    return run(tiny(), tmp_path_factory.mktemp("finished"))


def test_a_run_writes_record_history_weights_and_logits(finished: Run) -> None:
    record, folder = finished
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
    correct = read_correct(folder / "test_logits.safetensors", record)
    assert 100 * correct.sum() / len(correct) == record.final_test_top1
    assert 100 * stored["in_top5"].sum().item() / len(correct) == record.final_test_top5
    assert record.params == sum(value.numel() for value in load_file(folder / "weights.safetensors").values())
    assert record.macs > 0
    assert tiny().dataset.content == f"arrays sha256:{record.data_sha256}"


def test_stored_outputs_say_when_a_byte_has_changed(finished: Run, tmp_path: Path) -> None:
    record, folder = finished
    content = bytearray((folder / "test_logits.safetensors").read_bytes())
    content[-len(content) // 2] ^= 1  # in the least bit of a logit or so
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(StoreError, match=naming(tmp_path / "x.safetensors", "damaged", "sha256")):
        read_outputs(tmp_path / "x.safetensors", record)


def test_weights_depend_on_the_spec_and_not_on_earlier_random_numbers_of_the_process(
    finished: Run, tmp_path: Path
) -> None:
    torch.manual_seed(123)
    torch.rand(7)
    repeated, other = run(tiny(), tmp_path / "b")[0], run(tiny(seed=1), tmp_path / "c")[0]
    timed = {"seconds", "started_at", "train_images_per_second", "peak_memory_bytes"}
    assert finished[0].model_dump(exclude=timed) == repeated.model_dump(exclude=timed)
    assert other.weights_sha256 != finished[0].weights_sha256


def test_accuracies_from_stored_outputs_are_exact_where_float16_makes_ties(tmp_path: Path) -> None:
    step = 1e-5  # below the resolution of float16 near 1
    logits = 1 + step * torch.tensor([[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0.0]])
    labels = torch.tensor([6, 0])
    evaluated = Evaluation.of(logits, labels)
    assert (evaluated.top1, evaluated.top5) == (100, 100)
    assert (logits.half() == logits.half()[0, 0]).all()
    save_file(stored_outputs(logits, labels), tmp_path / "test_logits.safetensors")
    (run_,) = runs()
    spec = dataclasses.replace(run_.spec, dataset=dataclasses.replace(run_.spec.dataset, num_classes=7))
    accuracies = {"final_test_top1": evaluated.top1, "final_test_top5": evaluated.top5}
    record = make_record(dataclasses.replace(run_, spec=spec), **accuracies)
    assert read_correct(tmp_path / "test_logits.safetensors", record).all()
    assert value_of(record, METRICS["balanced_accuracy"], tmp_path) == record.final_test_top1


def test_predictions_of_ties_are_those_of_the_evaluation() -> None:
    logits, labels = torch.zeros(11, 7), torch.arange(11) % 7
    stored, evaluated = stored_outputs(logits, labels), Evaluation.of(logits, labels)
    assert 100 * (stored["predictions"] == labels).sum().item() / 11 == evaluated.top1
    assert 100 * stored["in_top5"].sum().item() / 11 == evaluated.top5


@pytest.mark.parametrize("protocol", ["full", "paper"])
def test_without_a_validation_split_nothing_is_selected(tmp_path: Path, protocol: Protocol) -> None:
    record, folder = run(tiny(protocol=protocol), tmp_path)
    assert record.selected_test_top1 is None
    assert record.selected_epoch is None
    assert record.final_val_top1 is None
    assert record.samples_seen == 2_000
    assert ",,," not in (folder / record.history).read_text().splitlines()[0]
    assert record.final_test_top1 > 10


def test_final_selected_and_best_accuracies_are_of_their_epochs() -> None:
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
    fields = results_of(history)
    assert fields["scales_below_zero"] == 2  # of the second epoch, the largest
    assert (fields["final_test_top1"], fields["selected_test_top1"], fields["best_test_top1"]) == (42, 45, 70)
    assert (fields["selected_epoch"], fields["best_test_epoch"]) == (2, 3)  # the first of equal ones


def test_scales_below_zero_are_counted_in_the_record(tmp_path: Path) -> None:
    """At this rate one or two steps exceed a thousandth of the usual scale."""
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


def test_accuracies_are_percentages() -> None:
    falling = torch.tensor([6.0, 5, 4, 3, 2, 1, 0]).repeat(4, 1)  # class 0 first, class 6 last
    evaluation = Evaluation.of(falling, torch.tensor([0, 0, 6, 4]))
    assert (evaluation.top1, evaluation.top5) == (50, 75)
    assert Evaluation.of(torch.zeros(2, 3), torch.tensor([0, 2])).loss == pytest.approx(math.log(3))


def test_a_nan_loss_stops_the_run_without_a_record(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, lr=1e30)
    with pytest.raises(DivergedError, match=naming("nan", "step 3", "epoch 1", "recipe.lr")):
        run(tiny(recipe=recipe), tmp_path)
    assert Store(tmp_path).record(tiny(recipe=recipe).run_id) is None


def test_bf16_trains_and_is_recorded(tmp_path: Path) -> None:
    record = run(tiny(recipe=dataclasses.replace(RECIPE, epochs=1, batch_size=500)), tmp_path, precision="bf16")[0]
    assert record.precision == "bf16"
    assert math.isfinite(record.final_train_loss)


def test_threads_and_determinism_are_set_and_restored() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with reproducible(2):
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_run_whose_store_loses_its_runs_meanwhile_files_a_whole_record(tmp_path: Path) -> None:
    store, steps = Store(tmp_path), iter(range(1000))

    def remove_runs() -> bool:
        if next(steps) == 11:  # in the second epoch of nine steps
            shutil.rmtree(tmp_path / "runs")
        return True

    record = execute(store, should_continue=remove_runs)
    (folder,) = store.ids().values()
    assert read_ended(folder) == record
    assert list(problems(folder, record)) == []
