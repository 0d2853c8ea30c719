"""`slbench export`, `import` and `clean`: output and exit codes."""

import json
from pathlib import Path

import pytest

from slbench.store import Store
from slbench.study import load_study
from tests.archive.conftest import files, finish
from tests.cli.conftest import Command
from tests.support import missing


@pytest.fixture
def there(study: Path, tmp_path: Path) -> Store:
    """Return a store with one of the two runs of the study."""
    store = Store(tmp_path / "there")
    finish(store, load_study(study).runs[0])
    return store


def test_a_study_is_exported_and_imported(slbench: Command, study: Path, there: Store, tmp_path: Path) -> None:
    result = slbench("export", study, tmp_path / "x.tar", "--store", there.root)
    assert (result.code, result.err) == (0, "")
    assert not missing(result.out, f"{tmp_path}/x.tar", "1 run,", "6 files")
    result = slbench("import", tmp_path / "x.tar", "--store", tmp_path / "here")
    assert (result.code, result.err) == (0, "") and not missing(result.out, f"{tmp_path}/here", "1")
    result = slbench("status", study, "--store", tmp_path / "here")
    assert not missing(result.out.splitlines()[-1], "1 of 2", "1 missing")
    result = slbench("import", tmp_path / "x.tar", "--store", tmp_path / "here")
    assert not missing(result.out, f"{tmp_path}/here", "0 runs", "1")


def test_export_and_import_print_one_json_document(slbench: Command, there: Store, tmp_path: Path) -> None:
    exported = json.loads(slbench("export", "--all", tmp_path / "x.tgz", "--store", there.root, "--json").out)
    assert (exported["format"], len(exported["runs"]), exported["not_finished"]) == (1, 1, 0)
    imported = json.loads(slbench("import", tmp_path / "x.tgz", "--store", tmp_path / "here", "--json").out)
    assert imported == {
        "added": [exported["runs"][0]["folder"]], "same": [], "busy": [], "measurements": 0, "studies": 0,
        "conflicts": [],
    }  # fmt: skip


def test_different_results_of_one_run_are_printed_with_their_conditions(
    slbench: Command, study: Path, there: Store, tmp_path: Path
) -> None:
    slbench("export", "--all", tmp_path / "x.tar", "--store", there.root)
    finish(Store(tmp_path / "here"), load_study(study).runs[0], final_test_loss=0.5, threads=2)
    result = slbench("import", tmp_path / "x.tar", "--store", tmp_path / "here")
    lines = result.out.splitlines()
    assert (result.code, result.err) == (1, "")
    assert not missing(lines[0], "DIFFERENT", "Tiny none fashion-mnist-12k seed 0", "6088db8e02b9", "not deterministic")
    assert not missing(lines[1], "final_test_loss", "0.5 here", "0.625 there")
    assert not missing(
        lines[2], "here", "cpu (Processor)", "host-7", "2 threads", "fp32", "slbench 0.1.0", "torch 2.9.1"
    )
    assert not missing(
        lines[3], "there", "cpu (Processor)", "host-7", "1 thread", "fp32", "slbench 0.1.0", "torch 2.9.1"
    )
    assert Path(lines[3].partition("kept in ")[2]).is_dir()
    assert not missing(lines[4], f"{tmp_path}/here", "0 runs", "1")

    result = slbench("import", tmp_path / "x.tar", "--store", tmp_path / "here", "--json")
    (conflict,) = json.loads(result.out)["conflicts"]
    assert result.code == 1
    assert conflict["differences"] == {"final_test_loss": {"here": 0.5, "there": 0.625}}
    assert (conflict["here"]["threads"], conflict["there"]["threads"], conflict["made_alike"]) == (2, 1, False)


def test_a_run_that_is_running_here_is_not_imported(slbench: Command, there: Store, tmp_path: Path) -> None:
    slbench("export", "--all", tmp_path / "x.tar", "--store", there.root)
    assert Store(tmp_path / "here").claims.acquire("6088db8e02b9") is not None
    result = slbench("import", tmp_path / "x.tar", "--store", tmp_path / "here")
    assert (result.code, result.err) == (1, "")
    assert not missing(result.out, "process")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export",), ("[STUDY] FILE",)),
        (("export", "x.tar"), ("slbench export STUDY FILE", "slbench export --all FILE")),
        (("export", "--all", "a.toml", "x.tar"), ("study", "archive")),
        (("export", "a.toml", "x.tar"), ("a.toml",)),
        (("export", "--all", "x.rar"), ("x.rar", ".tar.gz")),
        (("export", "--all", "x.tar"), ("results",)),
        (("import", "x.tar"), ("x.tar",)),
        (("import", "y.tar"), ("y.tar", "slbench export")),
        (("import", "y.tar", "--store", "y.tar"), ("y.tar",)),
        (("clean", "--store", "y.tar"), ("y.tar",)),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    slbench: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: tuple[object, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "y.tar").write_bytes(b"no archive")
    result = slbench(*arguments)
    result.check_error("slbench", *words)
    assert files(tmp_path) == {"y.tar": b"no archive"}


def test_clean_lists_removable_files_and_removes_them_with_yes(slbench: Command, there: Store) -> None:
    (folder,) = there.ids().values()
    (folder / "checkpoint.pt").write_bytes(bytes(70_000))
    (there.root / "runs" / "nothing").mkdir()
    before = files(there.root)
    result = slbench("clean", "--store", there.root)
    assert result.code == 0
    empty_folder, checkpoint, summary = result.out.splitlines()
    assert not missing(empty_folder, "0 B", f"{there.root}/runs/nothing")
    assert not missing(checkpoint, "0.07 MB", f"{folder}/checkpoint.pt")
    assert not missing(summary, there.root, "0.07 MB", "--yes")
    assert files(there.root) == before
    document = json.loads(slbench("clean", "--store", there.root, "--yes", "--json").out)
    assert (document["removed"], document["bytes"], len(document["found"])) == (True, 70_000, 2)
    del before[f"runs/{folder.name}/checkpoint.pt"]
    assert files(there.root) == before
    assert not missing(slbench("clean", "--store", there.root).out, there.root)
