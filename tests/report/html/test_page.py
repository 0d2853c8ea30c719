import base64
import hashlib
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slbench.cli import app
from slbench.differing import flat
from slbench.report.columns import GainColumn, MetricColumn
from slbench.report.html.cells import accuracies_first
from slbench.report.html.curves import LearningCurve, read_curve, thinned
from slbench.report.html.inline_svg import Chart
from slbench.report.html.page import PageFigure, asset
from slbench.report.html.provenance import rounded
from slbench.report.inputs import ReportInputs
from slbench.report.table import make_table
from slbench.report.write import report
from slbench.spec import to_dict
from slbench.study import StudyRun
from tests.report.html.pages import HISTORY, SVG, Node, a_section, inputs_in, page_of, parsed
from tests.support import CODE, TINY, make_record, missing, runs

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><!--",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7*7 }}{% raw %}",
    "a&lt;b",
]
SAMPLE = [
    pytest.param(name, marks=() if name in (HOSTILE[0], HOSTILE[3]) else pytest.mark.slow, id=name) for name in HOSTILE
]
METHODS = ["none", "spt", "lsa"]
SECTION = a_section(
    "Effects", ("Of SPT.",), ("Data", "Gain"), (("small", "+0.68 (−0.20 to +1.56)"), ("large", "–")), ("n = 3",)
)


def two_backbones(folder: Path, **words: Any) -> ReportInputs:
    """Two backbones with three rows and two seeds, of which one run failed and two of one row never began."""
    runs_ = runs({"backbone": [TINY, {**TINY, "label": "Wide", "dim": 16}], "method": METHODS, "seed": [0, 1]})
    why = "no memory in HERE/x"
    top1: list[float | str | None] = [70.0, 72.5, 80.0, why, 75.0, 76.0, 60.0, 62.0, 61.0, 67.0, None, None]
    return inputs_in(folder, runs_, top1, **words)


def results(page: Node) -> Node:
    """The table of a page."""
    return page.one("table", class_="results sorts")


def facts_of(node: Node) -> dict[str, str]:
    """Terms and texts of a part of a page."""
    return dict(zip([term.text for term in node.all("dt")], [fact.text for fact in node.all("dd")], strict=True))


def test_every_number_of_the_table_is_in_the_page_and_sorts_by_its_full_value(tmp_path: Path) -> None:
    inputs = two_backbones(tmp_path)
    table = accuracies_first(make_table(inputs))
    lines = [line for body in results(parsed(page_of(inputs))).all("tbody") for line in body.all("tr")]
    assert [line.one("th").text for line in lines] == [row.title for row in table.rows]
    for line, row in zip(lines, table.rows, strict=True):
        shown = line.all("td")
        assert [cell.text for cell in shown] == [column.text(row) for column in table.columns]
        for cell, column in zip(shown, table.columns, strict=True):
            held = row.cells.get((column.dataset, column.name))
            if isinstance(column, MetricColumn) and held:
                assert float(cell.attributes["data-value"]) == held.mean
            if isinstance(column, GainColumn):
                value = cell.attributes.get("data-value")
                assert (float(value) if value else None) == (held.gain.estimate if held and held.gain else None)
        macs = shown[[column.name for column in table.columns].index("macs")]
        assert float(macs.attributes["data-value"]) == 11_232


def test_each_backbone_has_its_own_table_body_below_two_header_lines(tmp_path: Path) -> None:
    page = parsed(page_of(two_backbones(tmp_path)))
    table = results(page)
    assert [[line.one("th").text for line in body.all("tr")] for body in table.all("tbody")] == [
        ["Tiny", "S-Tiny", "L-Tiny"],
        ["Wide", "S-Wide"],
    ]
    upper, lower = table.one("thead").all("tr")
    words = ["Model", "fashion-mnist-12k", "Images/s", "MACs (M)", "Params (M)"]
    assert [head.text for head in upper.all("th")] == words
    assert [head.text for head in lower.all("th")] == ["final top-1", "gain"]
    numbered = [*upper.all("th")[:1], *lower.all("th"), *upper.all("th")[2:]]
    assert [head.attributes["data-column"] for head in numbered] == list("012345")
    boxes = {box.attributes["id"] for box in page.all("input", type="checkbox")}
    shown = {f"show-{name}" for name in ("c1", "c2", "c3", "c4", "c5", "b0", "b1", "m0", "m1", "m2")}
    assert boxes == shown  # one data set is no choice
    wide = table.all("tbody")[1].all("tr")
    assert [line.attributes["class"] for line in wide] == ["b1 m0", "b1 m1"]
    assert [cell.attributes["class"].split()[-2:] for cell in wide[0].all("td")[:2]] == [["c1", "d0"], ["c2", "d0"]]


def test_each_number_lists_its_finished_and_missing_runs(tmp_path: Path) -> None:
    inputs = two_backbones(tmp_path)
    page = parsed(page_of(inputs))
    by_row = {line.one("th").text: line for line in results(page).all("tr") if line.all("td")}
    done = {record.run_id for record in inputs.records}
    names = {"Tiny": 0, "S-Tiny": 2, "L-Tiny": 4, "Wide": 6, "S-Wide": 8}
    for title, first in names.items():
        links = by_row[title].all("a", class_="behind")
        (target,) = {link.attributes["href"] for link in links}
        group = page.one(id=target[1:])
        wanted = [run.spec.run_id for run in inputs.runs[first : first + 2]]
        assert [run.attributes["data-run"] for run in group.all("details", class_="run")] == [
            run for run in wanted if run in done
        ]
        assert all(run in group.text for run in wanted)
    assert "mean 71.25, sample standard deviation 1.7678, 2 of 2 seeds" in page.text
    assert "+10 over 1 seed in common, no interval" in page.text


def test_unfinished_runs_are_listed_with_why_they_failed_and_without_the_place_of_the_store(tmp_path: Path) -> None:
    inputs = two_backbones(tmp_path)
    html = page_of(replace(inputs, unread=(f"{tmp_path}/runs/some-folder/record.json: damaged",)))
    lines = parsed(html).one(id="unfinished").one("tbody").all("tr")
    told = [[cell.text for cell in line.all("td")] for line in lines]
    failed, *others = told
    run = inputs.runs[3].spec.run_id
    assert failed == [
        "1", run, "S-Tiny", "fashion-mnist-12k", "failed (out of memory)",
        f"no memory in tiny-spt-fashion-mnist-12k-s1-{run}/x",
    ]  # fmt: skip
    assert [line[2:] for line in others] == [["L-Wide", "fashion-mnist-12k", "not finished", ""]] * 2
    assert not missing(parsed(html).one(id="unread").one("li").text, "some-folder/record.json")
    assert str(tmp_path) not in html


def test_unfinished_runs_show_the_settings_in_which_lines_differ(tmp_path: Path) -> None:
    runs_ = runs({"recipe.lr": [0.001, 0.002], "seed": [0, 1]})
    page = parsed(page_of(inputs_in(tmp_path, runs_, [70.0, 71.0, 80.0, None])))
    assert "Tiny, recipe_lr 0.002" in [cell.text for cell in page.one(id="unfinished").all("td")]
    (head,) = [head for head in results(page).all("th") if head.text == "recipe_lr"]
    cells = [line.all("td")[0] for line in results(page).one("tbody").all("tr")]
    assert head.attributes["data-column"] == "1"
    assert [cell.attributes["data-value"] for cell in cells] == ["0.001", "0.002"]


def test_a_run_shows_its_results_and_its_cell_the_common_settings(tmp_path: Path) -> None:
    inputs = two_backbones(tmp_path)
    page = parsed(page_of(inputs))
    for record in inputs.records:
        (cell,) = [one for one in page.all(class_="group-body") if one.all(id=f"run-{record.run_id}")]
        own, shared = (facts_of(part) for part in (cell.one(id=f"run-{record.run_id}"), cell.one(class_="shared")))
        both = own | shared
        columns = {*inputs.frame, *(f"code_{name}" for name in CODE.versions)} - {"code_versions"}
        assert {name for name in columns if not name.startswith("numerics_")} <= set(both) <= columns | {"folder"}
        for name, value in flat(to_dict(record.spec)).items():
            assert both[name] == (value if isinstance(value, str) else "none" if value is None else json.dumps(value))
        assert own["folder"] == inputs.folders[record.run_id].name
        assert float(own["final_test_top1"]) == record.final_test_top1
        assert shared["data_sha256"] == record.data_sha256
        expected = {
            "macs": "11232",
            "device_name": "Processor",
            "threads": "1",
            "precision": "fp32",
            "code_dirty": "false",
        }
        expected |= {"code_commit": str(CODE.commit), "code_torch": "2.9.1"}
        assert expected.items() <= shared.items()
        assert "host_hostname" not in both


def test_values_of_only_some_runs_of_a_cell_are_shown_at_each_run(tmp_path: Path) -> None:
    inputs = two_backbones(tmp_path)
    first, *others = inputs.records
    code = first.code.model_copy(update={"versions": {**first.code.versions, "triton": "3.5.1"}})
    changed = first.model_copy(update={"threads": 2, "code": code})
    page = parsed(page_of(replace(inputs, records=(changed, *others))))
    (cell,) = [one for one in page.all(class_="group-body") if one.all(id=f"run-{first.run_id}")]
    assert [facts_of(run)["threads"] for run in cell.all("details", class_="run")] == ["2", "1"]
    assert [facts_of(run).get("code_triton") for run in cell.all("details", class_="run")] == ["3.5.1", None]
    assert not {"threads", "code_triton"} & set(facts_of(cell.one("details", class_="shared")))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(71.66666666666667, 71.6667), (72.5, 72.5), (0.062512345, 0.06251), (0.0, 0.0), (7, 7), (None, None), ("x", "x")],
)
def test_results_have_four_decimals(value: object, shown: object) -> None:
    assert rounded(value) == shown


def test_a_page_of_very_many_runs_leaves_their_details_to_runs_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = two_backbones(tmp_path)
    monkeypatch.setattr("slbench.report.html.page.MAX_DETAILED", len(inputs.records) - 1)
    runs_part = parsed(page_of(inputs)).one(id="runs")
    assert runs_part.one("a").attributes["href"] == "runs.csv"
    assert "More than 8 runs" in runs_part.text
    assert not runs_part.all("details", class_="run") and not runs_part.all("svg") and not runs_part.all("pre")
    lines = runs_part.all("p", class_="run line")
    assert [line.attributes["id"] for line in lines] == [f"run-{record.run_id}" for record in inputs.records]
    assert "mean 71.25" in runs_part.text
    monkeypatch.undo()
    assert not parsed(page_of(inputs)).one(id="runs").all("a")


def test_a_curve_has_the_values_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(HISTORY.replace("\n", "\r\n"), newline="")
    held = read_curve(path, limit=7)
    assert held is not None
    assert (held.epochs, held.total) == ((1, 2, 3), 3)
    assert held.values == {
        "train_loss": (2.5, 1.25, 1.0),
        "val_loss": (2.25, 1.5, None),  # not a number
        "test_loss": (2.0, 1.75, 1.5),
        "val_top1": (20.5, 40.0, None),  # nothing
        "test_top1": (25.25, 50.5, 60.125),
    }
    assert held.table.splitlines()[3] == "3\t1.000\t–\t1.500\t–\t60.12"


def test_empty_series_and_unreadable_files_have_no_curve(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,train_loss,val_loss,val_top1,test_loss,test_top1\n1,2.0,,,1e999,10.0\n")
    held = read_curve(path, limit=7)
    assert held is not None
    assert held.values == {"train_loss": (2.0,), "test_top1": (10.0,)}
    for damaged in ("", "epoch,lr\n1,2\n", "epoch,train_loss,val_loss,val_top1,test_loss,test_top1\n1,x,,,2.0,10.0\n",
                    "epoch,train_loss,val_loss,val_top1,test_loss,test_top1\n"):  # fmt: skip
        path.write_text(damaged)
        assert read_curve(path, limit=7) is None
    path.write_bytes(b"\xff\xfe")
    assert read_curve(path, limit=7) is None
    assert read_curve(tmp_path / "none.csv", limit=7) is None


def test_a_chart_draws_a_line_a_series_and_run_from_the_lowest_to_the_highest_value() -> None:
    curve = LearningCurve((1, 2, 3), 3, {"val_top1": (20.0, 40.0, None), "test_top1": (30.0, 50.0, 60.0)})
    other = LearningCurve((1, 2), 2, {"test_top1": (40.0, 50.0)})
    chart = Chart("c", "Accuracy", ("val_top1", "test_top1"), [curve, other])
    figure, defined = parsed(chart.figure([0, 1])), parsed(chart.definitions)
    assert figure.one("svg").attributes["aria-label"] == "Accuracy by epoch: validation, test"
    assert [use.attributes["href"] for use in figure.all("use")] == ["#c", "#c-0", "#c-1"]
    assert [(path.attributes["class"], path.attributes["d"]) for path in defined.one(id="c-0").all("path")] == [
        ("series val", "M90 392h0l361-188"),
        ("series test", "M90 298h0l361-188l361-94"),
    ]
    (path,) = defined.one(id="c-1").all("path")
    assert (path.attributes["class"], path.attributes["d"]) == ("series test", "M90 204h0l361-94")  # on the same axes
    assert [text.text for text in defined.one("g", class_="left").all("text")] == ["20", "30", "40", "50", "60"]
    assert [text.text for text in defined.one("g", class_="epochs").all("text")] == ["1", "2", "3", "epoch"]
    alone = parsed(chart.figure([1]))
    assert alone.one("svg").attributes["aria-label"] == "Accuracy by epoch: test"
    assert [use.attributes["href"] for use in alone.all("use")] == ["#c", "#c-1"] and not alone.all("g")


def test_every_chart_of_a_page_refers_to_lines_in_it(tmp_path: Path) -> None:
    page = parsed(page_of(two_backbones(tmp_path)))
    referred = {use.attributes["href"] for use in page.all("use")}
    assert referred == {
        f"#{group.attributes['id']}" for part in page.all("defs") for group in part.all("g") if "id" in group.attributes
    }
    charts = page.one(id="runs").all("div", class_="charts")
    assert len(charts) > 2 and all(chart.all("use") for chart in charts)


def test_a_chart_of_one_value_is_a_central_dot_and_of_no_value_is_omitted() -> None:
    single = LearningCurve((4,), 1, {"test_loss": (2.0,)})
    assert 'class="series test dot" d="M451 204h0"' in Chart("c", "Loss", ("test_loss",), [single]).definitions
    for empty in (Chart("c", "Loss", ("val_loss",), [single]), Chart("c", "Loss", ("test_loss",), [])):
        assert empty.definitions == empty.figure(range(len(empty.curves))) == ""


def test_long_curves_keep_first_last_and_evenly_spaced_epochs() -> None:
    lines = [str(number) for number in range(1, 102)]
    assert thinned(lines, 5) == ["1", "26", "51", "76", "101"]
    assert thinned(lines, 101) == lines


def hostile_inputs(folder: Path, name: str) -> ReportInputs:
    """Inputs of a report in which every text that somebody may choose is this one."""
    inputs = two_backbones(folder)

    def named(run: StudyRun) -> StudyRun:
        labels = run.labels.model_copy(update={"backbone": run.labels.backbone + name, "dataset": name})
        return StudyRun(replace(run.spec, dataset=replace(run.spec.dataset, name=name)), labels)

    runs_ = {run.spec.run_id: named(run) for run in inputs.runs}
    code = CODE.model_copy(update={"versions": {"slbench": name, "torch": name}, "python": name})
    records = tuple(
        make_record(runs_[record.run_id], final_test_top1=record.final_test_top1, device_name=name, code=code)
        for record in inputs.records
    )
    return replace(
        inputs,
        name=name,
        title=name,
        source=name,
        runs=tuple(runs_.values()),
        records=records,
        folders={record.run_id: folder / "runs" / name.replace("/", "") for record in records},
        failures={
            runs_[run_id].spec.run_id: failure.model_copy(update={"reason": name})
            for run_id, failure in inputs.failures.items()
        },
        unread=(name,),
        query=name,
    )


def hostile_page(folder: Path, name: str) -> str:
    """A page in which every text that somebody may choose is this one."""
    section = a_section(name, (name,), (name, name), ((name, name), (name, name)), (name,))
    return page_of(hostile_inputs(folder, name), sections=(section,), figures=(PageFigure(name, name, SVG),))


@pytest.mark.parametrize("name", SAMPLE)
def test_any_name_is_escaped_and_does_not_change_the_page(name: str, tmp_path: Path) -> None:
    html = hostile_page(tmp_path / "hostile", name)
    page, harmless = parsed(html), parsed(hostile_page(tmp_path / "harmless", "any name"))
    assert page.skeleton == harmless.skeleton
    told = page.one("main").text.replace("/", "").count(name.replace("/", ""))  # the name of a folder has no slash
    assert told == harmless.one("main").text.count("any name") > 50
    assert page.one("head").one("title").text == page.one("h1").text == name
    shared = facts_of(page.all("details", class_="shared")[0])
    assert (shared["dataset_name"], shared["code_torch"], shared["device_name"]) == (name, name, name)


@pytest.mark.parametrize("name", SAMPLE)
def test_the_page_loads_nothing_and_runs_only_its_own_script(name: str, tmp_path: Path) -> None:
    html = hostile_page(tmp_path, name)
    page = parsed(html)
    assert not {node.tag for node in page.walk()} & {
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "audio",
        "video",
    }
    for node in page.walk():
        assert not [key for key in node.attributes if key.startswith("on") or key in ("srcset", "action", "data")]
        assert node.attributes.get("src", "data:image/svg+xml;base64,").startswith("data:image/svg+xml;base64,")
        assert node.attributes.get("href", "#").startswith("#")
        assert "url(" not in node.attributes.get("style", "")
    script = page.one("script")
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    policy = page.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
    style = page.one("style").text
    assert "url(" not in style and "@import" not in style
    assert not re.search(r"https?:|//[a-z]", html.replace("sha256-" + digest, "").replace(script.text, ""))
    assert "http" not in script.text


def test_the_script_can_be_inlined_in_a_page() -> None:
    assert not re.search(
        r"</script|<!--|innerHTML|insertAdjacentHTML|document\.write|\beval\(|\r", asset("page.js"), re.IGNORECASE
    )
    assert "</style" not in asset("page.css")


def test_the_same_records_in_another_folder_have_the_same_bytes(tmp_path: Path) -> None:
    one, other = (page_of(two_backbones(tmp_path / name), figures=(PageFigure("f", "c", SVG),)) for name in ("a", "b"))
    assert one == other


def test_footnotes_are_linked_from_the_lines_with_their_marks(tmp_path: Path) -> None:
    runs_ = runs({"method": ["none", "spt"]})
    inputs = inputs_in(tmp_path, runs_, [70.0, 80.0])
    mixed = replace(inputs, records=(inputs.records[0], inputs.records[1].model_copy(update={"threads": 2})))
    page = parsed(page_of(mixed))
    marked = [line for line in results(page).one("tbody").all("tr") if line.all("sup")]
    (link,) = {mark.attributes["href"] for line in marked for mark in line.one("sup").all("a")}
    assert page.one(id=link[1:]).text.startswith("a Mixed devices: ")


def test_published_numbers_tell_their_origin_confidence_and_the_reason_of_the_verdict(tmp_path: Path) -> None:
    runs_ = runs({"backbone": ["vit"], "method": ["none", "both"], "dataset": ["cifar100"], "seed": [0, 1]})
    page = parsed(page_of(inputs_in(tmp_path, runs_, [70.0, 71.0, 80.0, 81.0]), published=True))
    terms = page.all(class_="group-body")[0].all("dl")[0]
    facts = dict(zip([term.text for term in terms.all("dt")], [fact.text for fact in terms.all("dd")], strict=True))
    assert re.fullmatch(
        r"73\.81 \(not comparable\): not comparable: protocol holdout, not paper.*; published: 73\.81 %, ViT base on "
        r"cifar100 in table2; confidence: \S+; source: arXiv:2112\.13492.*",
        facts["published, final top-1"],
    )
    cell = results(page).one("tbody").all("tr")[0].all("td")[2]
    assert cell.attributes["data-value"] == "73.81"
    assert not missing(cell.one("a").attributes["title"], "protocol", "holdout", "paper")


def test_sections_are_shown_and_their_columns_of_numbers_sort_by_them(tmp_path: Path) -> None:
    page = parsed(page_of(two_backbones(tmp_path), sections=(SECTION,))).one(id="findings")
    assert [node.text for node in (page.one("h3"), page.one("p"), page.one("li"))] == ["Effects", "Of SPT.", "n = 3"]
    assert [[cell.text for cell in line.all("td")] for line in page.one("tbody").all("tr")] == [
        list(line) for line in SECTION.lines
    ]
    assert [cell.attributes.get("data-value") for cell in page.one("tbody").all("td")] == [None, "0.68", None, None]


def test_a_figure_is_an_image_in_the_page(tmp_path: Path) -> None:
    page = parsed(page_of(two_backbones(tmp_path), figures=(PageFigure("name", "caption", SVG),)))
    figure = page.one(id="figures").one("figure")
    head, _, content = figure.one("img").attributes["src"].partition(",")
    assert (head, base64.b64decode(content).decode()) == ("data:image/svg+xml;base64", SVG)
    assert (figure.one("img").attributes["alt"], figure.one("figcaption").text) == ("name: caption", "name caption")


@pytest.mark.parametrize("name", ["page.html.j2", "page.css", "page.js"])
def test_the_package_contains_the_files_of_the_page(name: str) -> None:
    assert (files("slbench.report.html") / name).is_file()


def test_a_page_without_finished_runs_says_that_there_are_none(tmp_path: Path) -> None:
    runs_ = runs({"method": ["none"]})
    page = parsed(page_of(inputs_in(tmp_path, runs_, [None])))
    assert "No run is finished yet." in page.one(id="table").text
    assert not page.all("table", class_="results sorts")
    assert len(page.one(id="unfinished").one("tbody").all("tr")) == 1


@pytest.mark.usefixtures("svg")
def test_an_html_report_contains_its_figures(tmp_path: Path) -> None:
    runs_ = runs({"recipe.lr": [0.001, 0.002]})
    done = report(inputs_in(tmp_path / "store", runs_, [70.0, 80.0]), formats=["html"], out=tmp_path / "out")
    assert done.files[-1] == "report.html"
    page = parsed((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    (figure,) = [one for one in page.all("figure") if one.one("figcaption").text.startswith("sweep-recipe-lr ")]
    assert (
        base64.b64decode(figure.one("img").attributes["src"].partition(",")[2])
        == (tmp_path / "out/sweep-recipe-lr.svg").read_bytes()
    )


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    inputs_in(tmp_path, runs(), [70.0])
    next(tmp_path.glob("runs/*/metrics.csv")).unlink()  # it does not agree with the invented record
    result = CliRunner().invoke(app, ["report", "--store", str(tmp_path), "--format", "html"])
    assert result.exit_code == 0, result.output
    assert "report.html" in result.output
    assert "70.00 (1)" in parsed((tmp_path / "reports/all/report.html").read_text(encoding="utf-8")).text
