"""Tampered searches of the stored example are reported with the values of their runs, one line each."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slbench.store import Store
from slbench.tuning.record import load
from slbench.tuning.record_check import checked
from tests.cli.conftest import Command, slbench  # noqa: F401
from tests.support import missing

GOLDEN = Path(__file__).parents[1] / "golden_store"
WINNER = 4  # 46.9 %


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a finished search in a copy of the golden store; the copy is the current folder."""
    shutil.copytree(GOLDEN, tmp_path / "golden")
    monkeypatch.chdir(tmp_path / "golden")
    return tmp_path / "golden" / "store" / "tuning" / "golden"


def change_record(folder: Path, change: Callable[[Any], object]) -> None:
    content = json.loads((folder / "search.json").read_text())
    change(content["rows"][0])
    (folder / "search.json").write_text(json.dumps(content))


def test_an_untouched_record_is_as_it_is(folder: Path) -> None:
    record = load(folder)
    assert checked(record, Store(folder.parents[1])) == (record, ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row["trials"][1].update(value=99.0), ("trial 1", "99.0", "45")),
        (lambda row: row["trials"][1].update(by_seed=[99.0]), ("trial 1",)),
        (lambda row: row["comparison"].update(tuned=[99.0, 99.0]), ("comparison", "left out")),
        (lambda row: row["comparison"].update(difference=50.0), ("comparison", "left out")),
    ],
)
def test_a_tampered_record_is_named_and_has_the_same_winner(
    change: Callable[[Any], object], words: tuple[str, ...], folder: Path
) -> None:
    change_record(folder, change)
    record, (line,) = checked(load(folder), Store(folder.parents[1]))
    assert not missing(line, "both", *words)
    assert record.rows[0].winner == WINNER and record.rows[0].trials[1].value == 45.0
    assert line in record.notes


@pytest.mark.parametrize("value", [45.0, 99.0])
def test_a_tampered_winner_is_named(value: float, folder: Path) -> None:
    change_record(folder, lambda row: row.update(winner=1))
    change_record(folder, lambda row: row["trials"][1].update(value=value))
    record, lines = checked(load(folder), Store(folder.parents[1]))
    assert record.rows[0].winner == WINNER
    assert not missing(" ".join(lines), "winner is trial 4, not 1", *(["trial 1"] if value == 99.0 else []))


def test_a_trial_whose_run_is_gone_is_named(folder: Path) -> None:
    (run,) = folder.parents[1].glob("runs/*-e56fb27cd49e")
    shutil.rmtree(run)
    _, (line,) = checked(load(folder), Store(folder.parents[1]))
    assert not missing(line, "trial 4", "e56fb27cd49e", "gone")


@pytest.mark.parametrize("name", ["trials.csv", "summary.md", "landscape.png", "best.toml"])
def test_a_folder_in_place_of_an_output_is_one_line(
    name: str,
    folder: Path,
    slbench: Command,  # noqa: F811
) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    slbench("report", folder).check_error(name, "folder")


def search_again(slbench: Command) -> Any:  # noqa: F811
    command = json.loads((GOLDEN / "store/tuning/golden/search.json").read_text())["command"]
    return slbench(*shlex.split(command)[1:], "--store", "store", "--take-over")  # from another machine


def edit(old: str, new: str) -> Callable[[Path], None]:
    def change(journal: Path) -> None:
        text = journal.read_text()
        assert old in text
        journal.write_text(text.replace(old, new, 1))

    return change


def repeat(old: str, new: str) -> Callable[[Path], None]:
    """Return a change that appends the first line with a text again, with another text in its place."""

    def change(journal: Path) -> None:
        text = journal.read_text()
        (line, *_) = (line for line in text.splitlines() if old in line)
        journal.write_text(f"{text}{line.replace(old, new)}\n")

    return change


def halve(journal: Path) -> None:
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[: len(lines) // 2]))


def make_folder(journal: Path) -> None:
    journal.unlink()
    journal.mkdir()


TAMPERED: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "a higher value": (edit('"values":[45.0]', '"values":[99.0]'), ("trial 1", "99.0", "45")),
    "a lower value of the winner": (edit('"values":[46.9]', '"values":[1.0]'), ("trial 4", "1.0", "46.9")),
    "NaN": (edit('"values":[45.0]', '"values":[NaN]'), ("trial 1", "nan", "45")),
    "a second end": (repeat('"values":[45.0]', '"values":[99.0]'), ("trial 1", "twice")),
    "a reported step": (edit('"intermediate_value":28.8', '"intermediate_value":99'), ("trial 1", "step 1", "28.8")),
    "another setting": (edit('"method.initial_temperature":0.105}', '"method.initial_temperature":0.9}'), ("trial 1",)),
    "another run": (edit('"runs":["cc103bfa4139"]', '"runs":["c41c21e46c0d"]'), ("trial 1", "c41c21e46c0d")),
    "cut in half": (halve, ("search.json", "tried again")),
    "empty": (lambda journal: journal.write_text(""), ("search.json", "tried again")),
}
REFUSED: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "an unknown operation": (edit('"op_code":8', '"op_code":88'), ("journal.log", "88")),
    "a garbage line": (edit('{"op_code":8', "rubbish\n{"), ("journal.log", "damaged")),
    "another study": (edit("golden-both", "other-both"), ("journal.log", "other-both")),
    "a folder": (make_folder, ("journal.log", "not usable")),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_journal_is_named_and_has_the_same_winner(
    case: str,
    folder: Path,
    slbench: Command,  # noqa: F811
) -> None:
    change, words = TAMPERED[case]
    change(folder / "journal.log")
    result = search_again(slbench)
    assert (result.code, result.err) == (0, "")
    assert not missing(result.out, "note: both", *words)
    (row,) = load(folder).rows
    won = row.trial(row.winner)
    assert won is not None and (won.run_ids, won.value) == (("e56fb27cd49e",), 46.9)


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_journal_is_one_line_and_changes_nothing(
    case: str,
    folder: Path,
    slbench: Command,  # noqa: F811
) -> None:
    change, words = REFUSED[case]
    change(folder / "journal.log")
    before = (folder / "search.json").read_bytes()
    result = search_again(slbench)
    assert result.code == 2 and not missing(result.err, *words) and result.err.count("\n") == 1
    assert (folder / "search.json").read_bytes() == before


@pytest.mark.slow
def test_a_damaged_record_of_a_search_is_named_and_written_again(
    folder: Path,
    slbench: Command,  # noqa: F811
) -> None:
    (before,) = load(folder).rows
    (folder / "search.json").write_text("{")
    result = search_again(slbench)
    assert (result.code, result.err) == (0, "")
    assert not missing(result.out, "note: ", folder.relative_to(folder.parents[2]) / "search.json", "written again")
    (after,) = load(folder).rows
    assert (after.trials, after.winner) == (before.trials, before.winner)
