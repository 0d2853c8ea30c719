"""Verification of exact resumption: equal, different and inconclusive comparisons."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from slbench.cli.verify import sentence
from slbench.grid.verify import Proof, Verification, one_per_network, proof
from slbench.store import Store
from tests.grid.helpers import CPU, slots_on
from tests.support import make_record, runs, store_history

LONG = {"recipe.epochs": 2, "recipe.batch_size": 64, "recipe.precision": "fp32"}


@pytest.mark.slow
def test_a_killed_run_is_identical_to_the_undisturbed_one(tmp_path: Path) -> None:
    (run,) = runs(set=LONG)
    twice = Verification([run], tmp_path, slots=slots_on(CPU), precisions={"fp32": "fp32"}, kills=2, seed=3)
    events: list[object] = []
    twice.run_undisturbed(events.append)
    twice.run_killed(events.append)
    (result,) = twice.proofs()
    assert result.holds
    assert 1 <= len(result.killed_at) <= 2
    assert result.undisturbed is not None and result.killed is not None
    assert result.undisturbed.weights_sha256 == result.killed.weights_sha256
    assert "Failed" not in {type(event).__name__ for event in events}
    assert sentence(result).startswith(f"identical  {run.title}: killed after step ")
    assert result.undisturbed.weights_sha256 in sentence(result)


def finished_store(folder: Path, *, lr: str = "0.1", train_seconds: str = "1.0", **changes: object) -> Store:
    """Return a store with one finished run."""
    (run,) = runs()
    store = Store(folder)
    run_folder = store.begin(run.spec, run.labels)
    record = make_record(run, **changes)
    store_history(run_folder, record)
    path = run_folder / "metrics.csv"
    path.write_text(path.read_text().replace(",0.1,", f",{lr},").replace(",1.0\n", f",{train_seconds}\n"))
    store.finish(run_folder, record)
    return store


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({"train_seconds": "9.0"}, []),
        ({"seconds": 1.0, "peak_memory_bytes": 5, "train_images_per_second": 2.0}, []),
        ({"weights_sha256": "0" * 64}, ["weights_sha256"]),
        ({"final_test_loss": 0.6250001}, ["final_test_loss", "metrics.csv"]),
        ({"threads": 2}, ["threads"]),
        ({"lr": "0.2"}, ["metrics.csv"]),
    ],
)
def test_differences_are_named_except_times_speeds_and_memory(
    tmp_path: Path, changes: dict[str, Any], different: list[str]
) -> None:
    (run,) = runs()
    undisturbed = finished_store(tmp_path / "undisturbed", train_seconds="3.0")
    result = proof(run, undisturbed, finished_store(tmp_path / "killed", **changes), [5])
    assert list(result.differences) == different
    assert result.holds == (not different)
    assert sentence(result).startswith("DIFFERENT" if different else "identical")


def test_a_run_that_was_not_killed_or_not_finished_is_inconclusive() -> None:
    (run,) = runs()
    record = make_record(run)
    for result, reason in (
        (Proof(run, (), record, record, {}), "finished before it was killed; use more epochs"),
        (Proof(run, (3,), None, record, {}), "the uninterrupted run failed or diverged"),
        (Proof(run, (3,), record, None, {}), "the killed run failed or diverged"),
    ):
        assert not result.holds
        assert sentence(result) == f"INCONCLUSIVE {run.title}: {reason}"


def test_one_run_per_network_and_data_set_is_verified() -> None:
    candidates = runs({"method": ["none", "lsa"], "seed": [4, 5]})
    assert [(run.labels.method, run.spec.seed) for run in one_per_network(candidates)] == [("none", 4), ("lsa", 4)]
    first = candidates[0]
    other = dataclasses.replace(first, spec=dataclasses.replace(first.spec, protocol="full"))
    assert one_per_network([first, other]) == (first, other)
