"""`slbench report` of invented records."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from slbench.cli.report import asked_columns
from slbench.errors import InputError
from slbench.store import Store
from slbench.study import load_study
from slbench.text import CONTROLS
from tests.archive.conftest import finish
from tests.cli.conftest import Command
from tests.support import ROOT, TINY_STUDY, missing

FOUR = TINY_STUDY.replace('["none", "lsa"]', '["none", "spt", "lsa", "both"]\nseed = [0, 1, 2]')


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "four.toml"
    path.write_text(FOUR)
    return path


@pytest.fixture
def store(study: Path, tmp_path: Path) -> Path:
    store = Store(tmp_path / "results")
    for number, run in enumerate(load_study(study).runs):
        finish(store, run, final_test_top1=80 + number**1.5 / 10)
    return store.root


def test_table_and_findings_are_printed_and_written_in_each_format(slbench: Command, study: Path, store: Path) -> None:
    result = slbench("report", study, "--store", store)
    assert (result.code, result.err) == (0, "")
    folder = store / "reports" / "four"
    names = {f"{head}.{tail}" for head in ("table", "findings") for tail in ("md", "csv", "tex")} | {"runs.csv"}
    assert {path.name for path in folder.iterdir()} == names
    table, findings = ((folder / name).read_text() for name in ("table.md", "findings.md"))
    answers, rest = findings.split("### Questions")
    assert result.out.startswith(answers + table) and rest in result.out
    assert not missing(result.out, folder, "runs.csv", "table.md")
    assert len(pd.read_csv(folder / "findings.csv")) == 3 + 3


def test_json_opens_with_the_answers_and_has_every_contrast_unrounded(
    slbench: Command, study: Path, store: Path
) -> None:
    one = json.loads(slbench("report", study, "--store", store, "--json").out)
    assert list(one)[:3] == ["study", "answers", "contrasts"]
    assert [row["contrast"] for row in one["contrasts"]][:3] == [text.split(",")[0] for text in one["answers"]]
    several = json.loads(slbench("report", study, study, "--store", store, "--json").out)
    assert several == [one, one]


def test_two_reports_of_a_store_are_equal_to_the_byte(
    slbench: Command, study: Path, store: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        assert slbench("report", study, "--store", store, "--out", tmp_path / name).code == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_columns_are_those_of_the_flag(slbench: Command, study: Path, store: Path) -> None:
    result = slbench("report", study, "--store", store, "--columns", "nll,params,best,gain", "--format", "csv")
    assert result.code == 0
    head = next(line for line in result.out.splitlines() if line.startswith("| Model"))
    assert [cell.strip() for cell in head.split("|")[2:-1]] == [
        "fashion-mnist-12k NLL", "Params (M)", "fashion-mnist-12k best top-1", "fashion-mnist-12k gain",
    ]  # fmt: skip


def test_a_query_filters_the_runs_and_is_in_the_caption(slbench: Command, study: Path, store: Path) -> None:
    result = slbench(
        "report", study, "--store", store, "--query", "method in ['none', 'lsa'] and seed < 2", "--format", "md"
    )
    assert result.code == 0
    assert not missing(result.out, "method in ['none', 'lsa'] and seed < 2")
    frame = pd.read_csv(store / "reports" / "four" / "runs.csv")
    assert sorted(set(frame["method"])) == ["lsa", "none"] and len(frame) == 4


def test_several_studies_are_reported_in_folders_of_their_own(
    slbench: Command, study: Path, store: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(TINY_STUDY.replace("[grid]", 'title = "Two rows"\n[grid]'))
    result = slbench("report", study, other, "--store", store, "--out", tmp_path / "out", "--format", "md")
    assert result.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"four", "other"}
    assert "Two rows." in result.out


def test_published_numbers_are_shown_only_with_the_flag(slbench: Command, study: Path, store: Path) -> None:
    assert "published |" not in slbench("report", study, "--store", store).out
    result = slbench("report", study, "--store", store, "--published", "--format", "csv")
    frame = pd.read_csv(StringIO((store / "reports" / "four" / "table.csv").read_text()))
    assert result.code == 0
    assert frame["fashion-mnist-12k_final_test_top1_verdict"].isna().all()  # not a data set of the paper


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--columns", "finl"), ("--columns", "finl", "final")),
        (("--columns", "gain"), ("--columns", "gain")),
        (("--columns", "final", "--accuracy", "final"), ("--accuracy", "--columns")),
        (("--format", "mdd"), ("mdd", "md")),
        (("--query", "nothing > 1"), ("--query", "1", "nothing")),
        (("--columns", "macs", "--published"), ("--published", "final", "best")),
    ],
)
def test_invalid_flags_are_one_line_and_write_nothing(
    slbench: Command, study: Path, store: Path, flags: tuple[str, ...], words: tuple[object, ...]
) -> None:
    result = slbench("report", study, "--store", store, *flags)
    result.check_error(*words)
    assert not (store / "reports").exists()


def test_a_record_that_is_deleted_during_a_report_is_not_reported_as_damaged(
    slbench: Command, study: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slbench import store as store_module
    from slbench.errors import StoreError
    from slbench.record import read_record as read

    deleted = next(store.glob("runs/*-both-*-s0-*/record.json"))

    def read_deleted(path: Path) -> object:
        if path == deleted:
            deleted.unlink()
            raise StoreError(f"{path}: cannot be read: No such file or directory")
        return read(path)

    monkeypatch.setattr(store_module, "read_record", read_deleted)
    result = slbench("report", study, "--store", store, "--format", "md")
    assert result.code == 0
    assert "record.json" not in result.out and not missing(result.out, "Unfinished: 1 of 12 runs")


@pytest.mark.parametrize("flag", ["--format", "--columns", "--accuracy", "--figures", "--query"])
def test_an_empty_flag_is_refused(slbench: Command, store: Path, flag: str) -> None:
    slbench("report", "--store", store, flag, "").check_error(flag, "''")


def test_a_column_twice_is_refused_and_a_comparison_of_two_metrics_is_not() -> None:
    with pytest.raises(InputError, match="twice"):
        asked_columns(None, "final,macs,final")
    with pytest.raises(InputError, match="twice"):
        asked_columns("best,best", None)
    assert asked_columns(None, "final,gain,top5,gain") == ["final", "gain", "top5", "gain"]


def test_a_path_that_is_too_long_is_one_line(slbench: Command, store: Path) -> None:
    slbench("report", "x" * 300 + ".toml", "--store", store).check_error("too long")
    slbench("report", "--store", "x" * 300).check_error("too long")


def test_a_folder_in_place_of_a_file_of_a_search_is_one_line(slbench: Command, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "golden_store" / "store" / "tuning", tmp_path / "tuning")
    (tmp_path / "tuning" / "golden" / "trials.csv").unlink()
    (tmp_path / "tuning" / "golden" / "trials.csv").mkdir()
    result = slbench("report", tmp_path / "tuning" / "golden", "--store", tmp_path)
    result.check_error("trials.csv", "folder")


def test_what_is_printed_has_no_control_characters(slbench: Command, store: Path) -> None:
    """Neither labels and reasons of records nor arguments act on the terminal."""
    hostile = "\\u001b[2JT\\u0000i\\u009bn\\u202ey\\n# x"
    for path in next(store.glob("runs/*")).glob("*.json"):
        path.write_text(path.read_text().replace('"backbone": "', f'"backbone": "{hostile}', 1))
    commands = ["status"], ["report", "--format", "md"], ["report", "--json"], ["export", store / "x\x1b[31m.slb"]
    for command in commands:
        result = slbench(*command, "--store", store)
        assert not CONTROLS.search(result.out + result.err)
    assert not missing(slbench("status", "--store", store).out, "Tiny # xTiny")
