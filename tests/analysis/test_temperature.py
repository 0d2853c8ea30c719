"""`slbench analyze temperature` from temperatures.csv or from weights."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from slbench.analysis.learned_temperatures import read_temperatures
from slbench.analysis.run_selection import FinishedRun, Requirements, RunSelection, select_runs
from slbench.analysis.temperature import analyse, from_weights, temperatures_of
from slbench.errors import InputError
from slbench.record import RunRecord
from slbench.store import Store
from tests.support import missing, naming
from tests.train.helpers import RECIPE, run, tiny

NEEDS = Requirements(attention=False, weights=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, RunRecord, Path]:
    """Return a trained run with learned temperatures: 2 blocks of 3 heads, 2 epochs."""
    store = Store(tmp_path_factory.mktemp("store"))
    record, folder = run(tiny(recipe=RECIPE), store.root)
    return store, record, folder


def test_temperatures_from_weights_equal_those_of_the_file(trained: tuple[Store, RunRecord, Path]) -> None:
    _, record, folder = trained
    from_file, result = read_temperatures(folder), from_weights(FinishedRun(record, folder))
    assert from_file is not None and result is not None
    pd.testing.assert_frame_equal(result, from_file[from_file["epoch"] != 1].reset_index(drop=True), check_exact=True)


def test_a_run_without_the_file_is_read_from_its_weights_and_noted(
    trained: tuple[Store, RunRecord, Path], tmp_path: Path
) -> None:
    store, record, folder = trained
    (folder / "temperatures.csv").rename(tmp_path / "kept.csv")
    try:
        written = analyse(select_runs(store, [record.run_id[:6]], needs=NEEDS), tmp_path / "out")
        (folder / "weights.safetensors").rename(tmp_path / "weights")
        with pytest.raises(InputError, match=naming("temperatures.csv")):
            temperatures_of(select_runs(store, [record.run_id], needs=NEEDS))
        (folder / "weights.safetensors").write_bytes(b"garbage")
        with pytest.raises(InputError, match=naming("weights.safetensors")):
            temperatures_of(select_runs(store, [record.run_id], needs=NEEDS))
    finally:
        (tmp_path / "kept.csv").rename(folder / "temperatures.csv")
        (tmp_path / "weights").rename(folder / "weights.safetensors")
    assert not missing(written.text, "temperatures.csv")
    assert sorted(set(written.frame["epoch"])) == [0, 2]
    assert "temperature-training.png" not in written.files  # two epochs are not drawn as a curve


@pytest.mark.usefixtures("svg")
def test_page_and_files_are_reproducible(trained: tuple[Store, RunRecord, Path], tmp_path: Path) -> None:
    store, record, _ = trained
    for name in ("one", "two"):
        written = analyse(select_runs(store, [record.run_id], needs=NEEDS), tmp_path / name)
    assert "temperature-depth.pdf" in written.files and "temperature-training.svg" in written.files
    assert {path.name for path in (tmp_path / "two").iterdir()} == set(written.files)
    for name in written.files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    layers = pd.read_csv(tmp_path / "one" / "temperature-layers.csv")
    assert list(layers["layer"]) == ["block 1", "block 2"]
    assert list(layers["initial"]) == [2.0, 2.0]  # sqrt(12 / 3)


def test_a_method_without_temperature_is_refused_alone_and_noted_with_others(
    trained: tuple[Store, RunRecord, Path],
) -> None:
    _, record, folder = trained
    fixed = dataclasses.replace(
        record.spec, method=dataclasses.replace(record.spec.method, learn_temperature=False, mask_self=False)
    )
    plain = record.model_copy(
        update={"run_id": "0" * 12, "spec": fixed, "labels": record.labels.model_copy(update={"method": "spt"})}
    )
    with pytest.raises(InputError, match=naming("S-tiny", "lsa", "both")):
        temperatures_of(RunSelection("", (FinishedRun(plain, folder),), ()))
    both = RunSelection("", (FinishedRun(plain, folder), FinishedRun(record, folder)), ())
    (note,) = temperatures_of(both)[2]
    assert not missing(note, "temperature", "S-tiny")
