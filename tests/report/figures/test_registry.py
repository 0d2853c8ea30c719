"""Figures of a report by name."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slbench.cli import app
from slbench.errors import InputError
from slbench.report.figures.registry import FIGURES, draw
from slbench.report.inputs import ReportInputs
from slbench.report.table import make_table
from slbench.store import Store
from slbench.study import StudyRun
from tests.report.helpers import inputs_of, write_history
from tests.support import TINY, make_record, make_speed, missing, naming, runs

METHODS = ["none", "spt", "lsa", "both"]
SECOND = {**TINY, "label": "Second", "dim": 11}
HOSTILE = "$x_1$ <b>&\x00\x1b[31m\n_\\frac{"


def report(folder: Path, **grid: Any) -> ReportInputs:
    """Return inputs of two backbones, four methods and two seeds, with throughputs and histories."""
    runs_ = runs({"backbone": [TINY, SECOND], "method": METHODS, "seed": [0, 1], **grid}, set={"recipe.epochs": 2})
    inputs = inputs_of(runs_, lambda run: 70 + 2 * METHODS.index(run.labels.method) + run.spec.seed)
    folders = {record.run_id: folder / "runs" / record.run_id for record in inputs.records}
    for record in inputs.records:
        write_history(folders[record.run_id], record, [50.0, 60.0 + record.spec.seed], [51.0, 61.0])
    speeds = {record.run_id: make_speed(median=900.0 + 7 * n) for n, record in enumerate(inputs.records)}
    return replace(inputs, folders=folders, speeds=speeds)


def named(inputs: ReportInputs, **labels: str) -> ReportInputs:
    """Return inputs with other labels."""
    runs_ = tuple(StudyRun(run.spec, run.labels.model_copy(update=labels)) for run in inputs.runs)
    records = tuple(
        record.model_copy(update={"labels": record.labels.model_copy(update=labels)}) for record in inputs.records
    )
    return replace(inputs, runs=runs_, records=records)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.usefixtures("every_format")
@pytest.mark.slow
def test_all_figures_are_drawn_in_three_formats_reproducibly(tmp_path: Path) -> None:
    inputs = report(tmp_path)
    table = make_table(inputs)
    drawn = draw(inputs, table, ["all"], tmp_path / "one")
    assert [name for name, _ in drawn] == ["tradeoff", "tradeoff-macs", "curves", "effects"]
    draw(inputs, table, ["all"], tmp_path / "two")
    one = files(tmp_path / "one")
    assert sorted(one) == sorted(f"{name}.{suffix}" for name, _ in drawn for suffix in ("png", "svg", "pdf"))
    assert one == files(tmp_path / "two")
    assert one["tradeoff.png"].startswith(b"\x89PNG")
    assert one["tradeoff.pdf"].startswith(b"%PDF")
    assert ElementTree.fromstring(one["tradeoff.svg"]).tag.endswith("svg")


def test_without_speeds_all_draws_multiply_adds_once(tmp_path: Path) -> None:
    inputs = replace(report(tmp_path), speeds={}, folders={})
    drawn = draw(inputs, make_table(inputs), ["all"], tmp_path)
    assert [name for name, _ in drawn] == ["tradeoff-macs", "effects"]


def test_the_default_figures_are_sweeps_and_sizes_if_there_are_any(tmp_path: Path) -> None:
    inputs = report(tmp_path)
    assert draw(inputs, make_table(inputs), [], tmp_path) == []
    swept = inputs_of(runs({"recipe.lr": [0.001, 0.002]}), lambda run: 70.0)
    assert [name for name, _ in draw(swept, make_table(swept), [], tmp_path)] == ["sweep-recipe-lr"]
    assert draw(swept, make_table(swept), ["none"], tmp_path) == []


@pytest.mark.parametrize("name", ["curves", "effects", "size", "sweep"])
def test_a_requested_figure_without_data_is_an_error_that_names_what_it_needs(tmp_path: Path, name: str) -> None:
    inputs = inputs_of(runs(), lambda run: 70.0)
    with pytest.raises(InputError) as caught:
        draw(inputs, make_table(inputs), [name], tmp_path)
    assert not missing(str(caught.value), "--figures", name, FIGURES[name].needs)
    assert not files(tmp_path)


def test_more_figures_of_a_kind_than_a_report_has_are_refused_by_name_and_skipped_among_all(tmp_path: Path) -> None:
    inputs = inputs_of(runs({"recipe.lr": [0.001 * n for n in range(1, 14)]}), lambda run: 70.0)
    table = make_table(inputs)
    with pytest.raises(InputError, match=naming("--figures", "13", "12", "--query")):
        draw(inputs, table, ["tradeoff"], tmp_path)
    assert [name for name, _ in draw(inputs, table, ["all"], tmp_path)] == ["sweep-recipe-lr"]


@pytest.mark.parametrize("part", ["backbone", "method", "dataset"])
@pytest.mark.usefixtures("svg")
def test_hostile_names_are_text_in_every_figure(tmp_path: Path, part: str) -> None:
    if part == "method":
        hostile = named(report(tmp_path, method=["none"], backbone=[TINY]), method=HOSTILE)
    else:
        hostile = named(report(tmp_path, backbone=[TINY]), **{part: HOSTILE})
    drawn = draw(hostile, make_table(hostile), ["all"], tmp_path / "out")
    assert len(drawn) == (3 if part == "method" else 4)
    for name, _ in drawn:
        root = ElementTree.parse(tmp_path / "out" / f"{name}.svg").getroot()  # breaks unless it is escaped
        texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]
        if not (part == "backbone" and name == "curves"):
            assert any("$x_1$ <b>& [31m _" in text for text in texts)


@pytest.mark.usefixtures("svg")
def test_names_in_any_script_and_of_any_length_are_drawn(tmp_path: Path) -> None:
    inputs = named(report(tmp_path, backbone=[TINY]), backbone="日本 é " + "long " * 70)
    assert len(draw(inputs, make_table(inputs), ["all"], tmp_path)) == 4


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("efects", ("efects", "effects", *FIGURES, "all", "none")),
        ("none,curves", ("none,curves", "combined")),
    ],
)
def test_every_figure_of_the_flag_exists(tmp_path: Path, flag: str, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["report", "--store", str(tmp_path), "--figures", flag])
    assert isinstance(result.exception, InputError)
    assert not missing(str(result.exception), "--figures", *words)


def test_the_flag_selects_figures_by_name(tmp_path: Path) -> None:
    (run,) = runs()
    Store(tmp_path).finish(Store(tmp_path).begin(run.spec, run.labels), make_record(run))
    result = CliRunner().invoke(app, ["report", "--store", str(tmp_path), "--figures", "tradeoff"])
    assert result.exception is None
    assert not missing(result.output, "tradeoff.png", "fashion-mnist-12k")
    assert (tmp_path / "reports" / "all" / "tradeoff.pdf").exists()
    refused = CliRunner().invoke(app, ["report", "--store", str(tmp_path), "--figures", "curves"])
    assert not missing(str(refused.exception), "--figures", FIGURES["curves"].needs)
