"""`slbench analyze temperature` and `slbench analyze receptive-field`: output and one-line errors."""

import json
from pathlib import Path

import pandas as pd
import pytest

from slbench.store import Store
from slbench.train.temperatures import as_csv, initial_scales, rows_of
from tests.cli.conftest import Command
from tests.support import TINY_STUDY, make_record, missing, runs
from tests.train.helpers import LAYERS


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with untrained finished runs of "none" and "lsa"; the latter has learned temperatures."""
    store = Store(tmp_path / "results")
    for run in runs(
        {"method": ["none", "lsa"]}, set={"recipe.epochs": 1, "recipe.batch_size": 512, "recipe.precision": "fp32"}
    ):
        folder = store.begin(run.spec, run.labels)
        if run.spec.method.learn_temperature:
            rows = [*rows_of(LAYERS, initial_scales(LAYERS), epoch=0), *rows_of(LAYERS, [[0.5] * 3] * 2, epoch=1)]
            (folder / "temperatures.csv").write_bytes(as_csv(rows))
        store.finish(folder, make_record(run))
    (tmp_path / "study.toml").write_text(TINY_STUDY)
    return store


def ids(store: Store) -> dict[str, str]:
    return {record.labels.method: record.run_id for record in store.records()}


def test_temperatures_of_a_study_are_in_a_folder_of_its_name(slbench: Command, store: Store, tmp_path: Path) -> None:
    result = slbench("analyze", "temperature", "--study", tmp_path / "study.toml", "--store", store.root)
    assert (result.code, result.err) == (0, "")
    assert "| block 2 | " in result.out and "2.000" in result.out
    assert not missing(result.out, "temperature", "Tiny")
    layers = pd.read_csv(store.root / "analysis" / "study" / "temperature-layers.csv")
    assert list(layers["mean"]) == [2.0, 2.0]
    assert list(layers["multiple"]) == [0.5, 0.5]


def test_json_has_every_row_and_file(slbench: Command, store: Store, tmp_path: Path) -> None:
    run = ids(store)["lsa"]
    result = slbench("analyze", "temperature", run[:5], "--store", store.root, "--out", tmp_path / "out", "--json")
    found = json.loads(result.out)
    assert len(found["rows"]) == 2 * 2 * 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(found["files"])


@pytest.mark.usefixtures("svg")
def test_receptive_fields_of_new_networks_are_computed_by_formula_and_gradients(
    slbench: Command, tmp_path: Path
) -> None:
    result = slbench(
        "analyze", "receptive-field", "--backbone", "vit", "--method", "none,spt", "--image-size", "16",
        "--of", "tokens,class", "--images", "2", "--out", tmp_path / "out",
    )  # fmt: skip
    assert (result.code, result.err) == (0, "")
    formula = pd.read_csv(tmp_path / "out" / "receptive-field.csv")
    assert list(formula["field"]) == [2, 4, 16, 32, 483, 427]
    effective = pd.read_csv(tmp_path / "out" / "receptive-field-effective.csv")
    assert list(effective["support"]) == [2, 4, 16, 16]
    assert (tmp_path / "out" / "receptive-field-class.pdf").exists()
    assert not missing(result.out, "2 images", "n = 1", "seeds 0")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["temperature"], ("--study FILE",)),
        (["temperature", "ffff"], ("ffff", "slbench status", "--json")),
        (["temperature", "--study", "none.toml"], ("none.toml",)),
        (["temperature", "{none}"], ("temperature", "lsa", "both")),
        (["receptive-field", "{none}"], ("weights",)),
        (["receptive-field", "{none}", "--backbone", "vit"], ("--study", "--backbone")),
        (["receptive-field", "--backbone", "vitt"], ("vitt", "vit")),
        (["receptive-field", "--method", "sptt"], ("sptt", "spt")),
        (["receptive-field", "--of", "token"], ("token", "tokens", "class")),
        (["receptive-field", "--backbone", "resnet56", "--method", "spt"], ("attention",)),
        (["receptive-field", "--backbone", "pit", "--image-size", "7"], ("7 x 7 px",)),
        (["receptive-field", "--backbone", "vit", "--out", "{file}"], ("folder",)),
    ],
)
def test_invalid_arguments_are_one_line(
    slbench: Command, store: Store, tmp_path: Path, flags: list[str], words: tuple[object, ...]
) -> None:
    (tmp_path / "file").write_text("")
    flags = [flag.format(**ids(store), file=tmp_path / "file") for flag in flags]
    result = slbench("analyze", *flags, "--store", store.root)
    result.check_error(*words)
    assert not (store.root / "analysis").exists()


def test_the_error_for_an_unfinished_run_has_its_state(slbench: Command, store: Store, tmp_path: Path) -> None:
    run = ids(store)["lsa"]
    (store.ids()[run] / "record.json").unlink()
    result = slbench("analyze", "temperature", run, "--store", store.root)
    result.check_error("missing", "slbench run-grid")
    result = slbench("analyze", "temperature", "--study", tmp_path / "study.toml", "--store", store.root)
    result.check_error("temperature")
