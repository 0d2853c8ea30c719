"""The shipped study files are valid, and the smoke study runs."""

import dataclasses
from pathlib import Path

import pytest

from slbench.cli import main
from slbench.data import DATASETS, imagenet
from slbench.published.numbers import MODELS, VARIANTS, published
from slbench.store import Store
from slbench.study import load_study
from tests.support import ROOT, missing, start_slbench

STUDIES = sorted((ROOT / "studies").glob("*.toml"))


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty data root, and an ImageNet without images."""
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path / "data"))
    spec = dataclasses.replace(DATASETS["tiny-imagenet"].spec, name="imagenet", image_size=(224, 224), num_classes=1000)
    monkeypatch.setattr(imagenet, "find_imagenet", lambda image_size, config: spec)


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("path", STUDIES, ids=[path.stem for path in STUDIES])
def test_a_shipped_study_is_valid_and_its_header_has_command_cost_and_expected_result(path: Path) -> None:
    assert load_study(path).runs
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("command", "cost", "expect"):
        assert any(line.startswith(f"# {word} ") for line in header), word


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_the_study_of_a_table_of_the_paper_has_all_its_rows_and_numbers(number: int) -> None:
    path = ROOT / "studies" / f"table{number}.toml"
    header = path.read_text()
    study = load_study(path)
    cells = {(run.spec.backbone.name, run.labels.backbone, run.labels.method) for run in study.runs}
    numbers = [row for row in published() if row.table == f"table{number}" and row.metric == "top1"]
    assert len(numbers) > 5
    for row in numbers:
        assert f"{row.value:.2f}" in header, row
    expected = {(row.model, row.variant) for row in numbers}
    covered = {
        (label if label in MODELS.values() else MODELS[name], variant)
        for name, label, method in cells
        for variant in VARIANTS[method]
    }
    assert expected <= covered
    for key in ("recipe", "protocol"):
        assert f'{key} = "paper"' in header


@pytest.mark.slow
@pytest.mark.usefixtures("no_data")
def test_a_table_can_be_planned_without_its_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = main(["run-grid", str(ROOT / "studies" / "table5.toml"), "--plan", "--store", str(tmp_path / "results")])
    out = capsys.readouterr().out
    assert code == 0
    assert not missing(out, "40 runs", "900,000,000", "5.27e+17")
    assert "0 of 40 done" in out
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("no_data")
def test_the_study_of_table_1_varies_a_fixed_temperature_without_mask() -> None:
    study = load_study(ROOT / "studies" / "table1.toml")
    methods = {run.spec.method for run in study.runs}
    assert not any(method.learn_temperature or method.mask_self or method.shift != "none" for method in methods)
    temperatures = [method.initial_temperature for method in methods]
    assert len(temperatures) == 8
    assert 1.0 in temperatures
    assert min(temperatures) < 0.5 and max(temperatures) > 2


@pytest.mark.usefixtures("no_data")
def test_the_shift_studies_vary_ratio_and_direction() -> None:
    ratios = {run.spec.method.shift_ratio for run in load_study(ROOT / "studies" / "shift_ratio.toml").runs}
    assert ratios == {0.25, 0.5, 0.75}
    directions = {run.spec.method.shift for run in load_study(ROOT / "studies" / "shift_direction.toml").runs}
    assert directions == {"none", "cardinal", "diagonal", "all8"}


@pytest.mark.slow
def test_every_backbone_trains_with_every_applicable_method(tmp_path: Path) -> None:
    study = ROOT / "studies" / "smoke.toml"
    for command in (("run-grid", study, "--no-throughput"), ("report", study)):
        process = start_slbench(*command, "--store", tmp_path)
        output = process.communicate()
        assert process.returncode == 0, output
    records = list(Store(tmp_path).records())
    assert len(records) == len(load_study(study).runs) == 23
    # An untrained network has log(10) = 2.303; with smoothed labels only a trained one has less.
    assert all(record.final_train_loss < 2.31 for record in records)
