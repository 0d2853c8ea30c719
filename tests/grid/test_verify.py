"""The proof of exact resume shows what is so, and what is not."""

import dataclasses
from pathlib import Path

import pytest

from slbench.cli.verify import sentence
from slbench.grid.slots import Device, Slot
from slbench.grid.verify import Proof, Verification, one_per_network
from slbench.store import Store
from tests.support import make_record, runs

CPU = Device("cpu", "Processor", False)
LONG = {"recipe.epochs": 2, "recipe.batch_size": 64, "recipe.precision": "fp32"}


@pytest.mark.slow
def test_a_killed_run_is_shown_to_be_the_calm_one(tmp_path: Path) -> None:
    (run,) = runs(set=LONG)
    twice = Verification([run], tmp_path, slots=[Slot(0, CPU, 1)], precisions={"fp32": "fp32"}, kills=2, seed=3)
    events: list[object] = []
    twice.run_calmly(events.append)
    twice.run_killed(events.append)
    (proof,) = twice.proofs()
    assert proof.holds
    assert 1 <= len(proof.killed_at) <= 2
    assert proof.calm is not None and proof.killed is not None
    assert proof.calm.weights_sha256 == proof.killed.weights_sha256
    assert "Failed" not in {type(event).__name__ for event in events}
    words = sentence(proof)
    assert words.startswith(f"identical  {run.title}: killed after step ")
    assert proof.calm.weights_sha256 in words


def filed(folder: Path, history: str, **changes: object) -> Store:
    (run,) = runs()
    store = Store(folder)
    made = store.begin(run.spec, run.labels)
    (made / "metrics.csv").write_text(history)
    store.finish(made, make_record(run, **changes))
    return store


@pytest.mark.parametrize(
    ("changes", "history", "different"),
    [
        ({}, "epoch,test_top1,train_seconds\n1,80.0,9\n", []),
        ({"seconds": 1.0, "peak_memory_bytes": 5, "train_images_per_second": 2.0}, "epoch,test_top1\n1,80.0\n", []),
        ({"weights_sha256": "0" * 64}, "epoch,test_top1\n1,80.0\n", ["weights_sha256"]),
        ({"final_test_loss": 0.6250001}, "epoch,test_top1\n1,80.0\n", ["final_test_loss"]),
        ({"threads": 2}, "epoch,test_top1\n1,80.0\n", ["threads"]),
        ({}, "epoch,test_top1\n1,80.0\n1,80.0\n", ["metrics.csv"]),
    ],
)
def test_what_differs_is_named_and_times_speeds_and_memory_may(
    tmp_path: Path, changes: dict[str, object], history: str, different: list[str]
) -> None:
    from slbench.grid.verify import proof

    (run,) = runs()
    calm = filed(tmp_path / "calm", "epoch,test_top1,train_seconds\n1,80.0,3\n")
    shown = proof(run, calm, filed(tmp_path / "killed", history, **changes), [5])
    assert list(shown.differences) == different
    assert shown.holds == (not different)
    assert sentence(shown).startswith("DIFFERENT" if different else "identical")


def test_what_was_not_killed_or_not_finished_shows_nothing() -> None:
    (run,) = runs()
    record = make_record(run)
    for proof, words in (
        (Proof(run, (), record, record, {}), "finished before it was killed; use more epochs"),
        (Proof(run, (3,), None, record, {}), "the uninterrupted run failed"),
        (Proof(run, (3,), record, None, {}), "the killed run failed"),
    ):
        assert not proof.holds
        assert sentence(proof) == f"INCONCLUSIVE {run.title}: {words}"


def test_one_run_of_each_network_and_data_set_is_enough() -> None:
    made = runs({"method": ["none", "lsa"], "seed": [4, 5]})
    assert [(run.labels.method, run.spec.seed) for run in one_per_network(made)] == [("none", 4), ("lsa", 4)]
    other = dataclasses.replace(made[0], spec=dataclasses.replace(made[0].spec, protocol="full"))
    assert one_per_network([made[0], other]) == (made[0], other)
