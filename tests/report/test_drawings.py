"""The figures of a report, by name; what they share."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slbench.cli import app
from slbench.errors import InputError
from slbench.plotting.style import FULL, PLAIN, StyleMap, new_figure, plain, spread_out, style
from slbench.report import DEFAULT_FIGURES, FIGURES
from slbench.report.figures.inputs import contexts, experiments, file_names
from slbench.report.figures.registry import DRAWINGS, draw
from slbench.report.inputs import ReportInputs
from slbench.report.table import make_table
from slbench.store import Store
from slbench.study import StudyRun
from tests.report.made import gathered_of, shown_of, write_history
from tests.support import TINY, make_record, make_speed, missing, naming, runs

ROWS = ["none", "spt", "lsa", "both"]
SECOND = {**TINY, "label": "Second", "dim": 11}
HOSTILE = "$x_1$ <b>&\x00\x1b[31m\n_\\frac{"


def report(folder: Path, **grid: Any) -> ReportInputs:
    """Two backbones, four rows, two seeds, each with a speed and a history."""
    found = runs({"backbone": [TINY, SECOND], "method": ROWS, "seed": [0, 1], **grid}, set={"recipe.epochs": 2})
    gathered = gathered_of(found, lambda run: 70 + 2 * ROWS.index(run.labels.method) + run.spec.seed)
    folders = {record.run_id: folder / "runs" / record.run_id for record in gathered.records}
    for record in gathered.records:
        write_history(folders[record.run_id], record, [50.0, 60.0 + record.spec.seed], [51.0, 61.0])
    speeds = {record.run_id: make_speed(median=900.0 + 7 * n) for n, record in enumerate(gathered.records)}
    return replace(gathered, folders=folders, speeds=speeds)


def named(gathered: ReportInputs, **labels: str) -> ReportInputs:
    """The same under other names."""
    runs_ = tuple(StudyRun(run.spec, run.labels.model_copy(update=labels)) for run in gathered.runs)
    records = tuple(
        record.model_copy(update={"labels": record.labels.model_copy(update=labels)}) for record in gathered.records
    )
    return replace(gathered, runs=runs_, records=records)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_every_figure_that_can_be_asked_for_is_drawn_by_something() -> None:
    assert list(DRAWINGS) == list(FIGURES)
    assert set(DEFAULT_FIGURES) <= set(FIGURES)


@pytest.mark.usefixtures("every_format")
def test_all_are_drawn_in_three_formats_and_twice_alike(tmp_path: Path) -> None:
    gathered = report(tmp_path)
    table = make_table(gathered)
    drawn = draw(gathered, table, ["all"], tmp_path / "one")
    assert [name for name, _ in drawn] == ["tradeoff", "tradeoff-macs", "curves", "effects"]
    draw(gathered, table, ["all"], tmp_path / "two")
    one = files(tmp_path / "one")
    assert sorted(one) == sorted(f"{name}.{suffix}" for name, _ in drawn for suffix in ("png", "svg", "pdf"))
    assert one == files(tmp_path / "two")
    assert one["tradeoff.png"].startswith(b"\x89PNG")
    assert one["tradeoff.pdf"].startswith(b"%PDF")
    assert ElementTree.fromstring(one["tradeoff.svg"]).tag.endswith("svg")


def test_without_speeds_all_draws_multiply_adds_once(tmp_path: Path) -> None:
    gathered = replace(report(tmp_path), speeds={}, folders={})
    drawn = draw(gathered, make_table(gathered), ["all"], tmp_path)
    assert [name for name, _ in drawn] == ["tradeoff-macs", "effects"]


def test_nothing_asked_for_draws_sweeps_and_sizes_where_there_are_any(tmp_path: Path) -> None:
    gathered = report(tmp_path)
    assert draw(gathered, make_table(gathered), [], tmp_path) == []
    swept = gathered_of(runs({"recipe.lr": [0.001, 0.002]}), lambda run: 70.0)
    assert [name for name, _ in draw(swept, make_table(swept), [], tmp_path)] == ["sweep-recipe-lr"]
    assert draw(swept, make_table(swept), ["none"], tmp_path) == []


@pytest.mark.parametrize("name", ["curves", "effects", "size", "sweep"])
def test_a_figure_by_name_that_has_nothing_to_show_says_what_it_needs(tmp_path: Path, name: str) -> None:
    gathered = gathered_of(runs(), lambda run: 70.0)
    with pytest.raises(InputError) as caught:
        draw(gathered, make_table(gathered), [name], tmp_path)
    assert not missing(str(caught.value), "--figures", name, FIGURES[name])
    assert not files(tmp_path)


def test_more_figures_of_a_kind_than_a_report_has_are_refused_by_name_and_skipped_among_all(tmp_path: Path) -> None:
    gathered = gathered_of(runs({"recipe.lr": [0.001 * n for n in range(1, 14)]}), lambda run: 70.0)
    table = make_table(gathered)
    with pytest.raises(InputError, match=naming("--figures", "13", "12", "--query")):
        draw(gathered, table, ["tradeoff"], tmp_path)
    assert [name for name, _ in draw(gathered, table, ["all"], tmp_path)] == ["sweep-recipe-lr"]


@pytest.mark.parametrize("part", ["backbone", "method", "dataset"])
def test_hostile_names_are_text_in_every_figure(tmp_path: Path, part: str) -> None:
    if part == "method":
        hostile = named(report(tmp_path, method=["none"], backbone=[TINY]), method=HOSTILE)
    else:
        hostile = named(report(tmp_path, backbone=[TINY]), **{part: HOSTILE})
    drawn = draw(hostile, make_table(hostile), ["all"], tmp_path / "out")
    assert len(drawn) == (3 if part == "method" else 4)
    for name, _ in drawn:
        root = ElementTree.parse(tmp_path / "out" / f"{name}.svg").getroot()  # breaks unless it is escaped
        texts = ["".join(each.itertext()) for each in root.iter() if each.tag.endswith("text")]
        if not (part == "backbone" and name == "curves"):
            assert any("$x_1$ <b>& [31m _" in text for text in texts)


def test_names_in_any_script_and_of_any_length_are_drawn(tmp_path: Path) -> None:
    gathered = named(report(tmp_path, backbone=[TINY]), backbone="日本 é " + "long " * 70)
    assert len(draw(gathered, make_table(gathered), ["all"], tmp_path)) == 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ViT", "ViT"),
        ("$x_1$", r"\$x_1\$"),
        ("_private", " _private"),
        ("two\nlines\t\x07 and \ud800 a half", "two lines and a half"),
        ("x" * 41, "x" * 39 + "…"),
        ("$" * 41, r"\$" * 39 + "…"),
    ],
)
def test_a_persons_text_is_one_short_line_without_formulas(text: str, shown: str) -> None:
    assert plain(text) == shown
    with style():
        figure, axes = new_figure()
        drawn, is_formula = axes.text(0, 0, plain(text))._preprocess_math(plain(text))  # type: ignore[attr-defined]
    assert (drawn, is_formula) == (shown.replace(r"\$", "$"), False)
    assert figure is axes.figure


def test_a_row_and_a_backbone_look_alike_in_every_figure() -> None:
    looks = StyleMap(("ViT", "PiT"), ("spt", PLAIN, "lsa", FULL))
    fewer = StyleMap(("ViT",), (PLAIN, "spt", FULL))
    for row in (PLAIN, "spt", FULL):
        assert looks.marker(row) == fewer.marker(row)
        assert looks.line(row) == fewer.line(row)
        assert looks.of_row(row) == fewer.of_row(row)
    assert (looks.marker(PLAIN), looks.marker(FULL), looks.line(PLAIN)) == ("o", "*", "-")
    assert len({(looks.marker(row), str(looks.line(row)), looks.of_row(row)) for row in looks.rows}) == 4
    assert len({looks.of_backbone(name) for name in looks.backbones}) == 2


def test_six_rows_beside_the_papers_are_told_apart_in_grey_print() -> None:
    rows = tuple(f"row {number}" for number in range(6))
    looks = StyleMap(("ViT",), (PLAIN, *rows, FULL))
    assert len({looks.marker(row) for row in looks.rows}) == 8


def test_networks_of_one_name_are_experiments_apart_and_keep_their_seeds_together() -> None:
    found = (*runs({"seed": [0, 1]}), *runs({"backbone": [{**TINY, "dim": 11}], "seed": [0, 1]}))
    shown = shown_of(gathered_of(found, lambda run: 70.0))
    assert [(each.backbone, len(each.records)) for each in shown.experiments] == [
        ("Tiny (backbone_dim 8)", 2),
        ("Tiny (backbone_dim 11)", 2),
    ]


def test_a_setting_that_differs_between_backbones_alone_does_not_part_them() -> None:
    """As in recipes that give each backbone its learning rate."""
    found = (
        *runs(set={"recipe.lr": 0.001}),
        *runs({"backbone": [SECOND]}, set={"recipe.lr": 0.003}),
    )
    assert len(contexts(shown_of(gathered_of(found, lambda run: 70.0)).experiments)) == 1
    swept = (*found, *runs({"backbone": [SECOND]}, set={"recipe.lr": 0.001}))
    parted = contexts(shown_of(gathered_of(swept, lambda run: 70.0)).experiments)
    assert [(each.title, len(each.experiments)) for each in parted] == [
        ("fashion-mnist-12k, recipe_lr 0.001", 2),
        ("fashion-mnist-12k, recipe_lr 0.003", 1),
    ]


def test_rows_that_a_table_leaves_out_are_in_no_figure() -> None:
    gathered = gathered_of(runs({"method": ROWS}), lambda run: 70.0)
    assert [each.method for each in experiments(gathered, [("Tiny", "lsa"), ("Tiny", "none")])] == ["lsa", "none"]


def test_figures_show_the_first_accuracy_of_the_table() -> None:
    gathered = gathered_of(runs(), lambda run: 70.0)
    assert shown_of(gathered).accuracy == "final"
    shown = shown_of(gathered, columns=["macs", "best", "final"])
    assert (shown.accuracy, shown.axis) == ("best", "best test top-1 (%)")
    assert shown.experiments[0].by_seed("best") == {0: 82.0}


def test_file_names_tell_figures_apart_whatever_their_data_sets_are_called() -> None:
    found = runs({"dataset": ["fashion-mnist-12k"]})
    gathered = gathered_of(found, lambda run: 70.0)
    (one,) = contexts(shown_of(gathered).experiments)
    others = [replace(one, dataset=name) for name in ("a/b", "a b", "../../etc")]
    assert file_names("size", others) == ["size-a-b", "size-a-b-2", "size-etc"]


def test_ticks_on_a_logarithmic_axis_do_not_touch() -> None:
    assert spread_out([1, 10, 100], most=2) == [1, 10, 100]
    assert spread_out([1, 90, 95, 100], most=2) == [1, 100]


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("efects", "unknown figure 'efects'; did you mean 'effects'? allowed: " + ", ".join([*FIGURES, "all", "none"])),
        ("none,curves", "--figures none,curves: 'none' cannot be combined with others"),
    ],
)
def test_the_flag_names_figures_that_there_are(tmp_path: Path, flag: str, line: str) -> None:
    found = CliRunner().invoke(app, ["report", "--store", str(tmp_path), "--figures", flag])
    assert isinstance(found.exception, InputError)
    assert str(found.exception) == line


def test_the_flag_draws_what_it_names(tmp_path: Path) -> None:
    (run,) = runs()
    Store(tmp_path).finish(Store(tmp_path).begin(run.spec, run.labels), make_record(run))
    found = CliRunner().invoke(app, ["report", "--store", str(tmp_path), "--figures", "tradeoff"])
    assert found.exception is None
    assert not missing(found.output, "tradeoff.png", "fashion-mnist-12k")
    assert (tmp_path / "reports" / "all" / "tradeoff.pdf").exists()
    refused = CliRunner().invoke(app, ["report", "--store", str(tmp_path), "--figures", "curves"])
    assert not missing(str(refused.exception), "--figures", FIGURES["curves"])
