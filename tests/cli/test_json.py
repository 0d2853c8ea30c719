"""`--json`: every command has it, and what it prints has the keys and types of docs/json.md.

The fixture `slbench` compares every document that any test prints with its schema.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from slbench.cli import ANALYZE, COMMANDS, DATA
from slbench.cli.command_group import LazyCommand
from slbench.cli.json_documents import DOCUMENTS
from slbench.cli.json_page import page, table_keys
from slbench.cli.verify import proof_document
from slbench.errors import InputError
from slbench.grid.verify import Proof
from slbench.record import RunRecord, read_record
from slbench.study import StudyRun
from slbench.table_spec import METRICS
from tests.cli.conftest import Command
from tests.cli.json_check import check_document
from tests.cli.test_golden_store import FAILED, FINISHED, GOLDEN, PAUSED
from tests.support import ROOT

ENTRIES = {
    **COMMANDS,
    **{f"analyze {name}": entry for name, entry in ANALYZE.items()},
    **{f"data {name}": entry for name, entry in DATA.items()},
}
STORE = ("--store", "store")


@pytest.fixture(scope="module")
def golden_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json") / "golden"
    shutil.copytree(GOLDEN, folder)
    return folder


@pytest.fixture
def golden(golden_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the golden store's folder, which is the current folder."""
    monkeypatch.chdir(golden_folder)
    return golden_folder


def golden_record() -> RunRecord:
    (path,) = (GOLDEN / "store" / "runs").glob(f"*{FINISHED}/record.json")
    return read_record(path)


def test_every_command_has_a_documented_json_document() -> None:
    assert list(DOCUMENTS) == list(ENTRIES)
    for name, entry in ENTRIES.items():
        options = [option for parameter in LazyCommand(name, entry).load().params for option in parameter.opts]
        assert "--json" in options, name


def test_the_page_is_that_of_the_schemas() -> None:
    """Otherwise: python -m slbench.cli.json_page > docs/json.md."""
    assert (ROOT / "docs" / "json.md").read_text() == page()


@pytest.mark.usefixtures("golden")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("status", *STORE), 1),
        (("status", "golden.toml", *STORE), 0),
        (("run-grid", "golden.toml", *STORE, "--plan"), 0),
        (("work", "golden.toml", *STORE), 0),
        (("submit", "golden.toml", *STORE, "--dry-run"), 0),
        (("show", FINISHED, *STORE), 0),
        (("show", FAILED, *STORE), 0),
        (("show", PAUSED, *STORE), 0),
        (("logs", FAILED, *STORE), 0),
        (("report", "golden.toml", *STORE, "--figures", "none"), 0),
        (("clean", *STORE), 0),
        (("list", "methods"), 0),
        (("list", "recipes", "--show", "quick"), 0),
        (("data", "list"), 0),
        (("data", "info", "fashion-mnist-12k"), 0),
        (("data", "info", "cifar10"), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_output_is_one_document_of_its_schema(slbench: Command, command: tuple[str, ...], code: int) -> None:
    result = slbench(*command, "--json")
    assert (result.code, bool(result.out)) == (code, True)


@pytest.mark.usefixtures("golden")
def test_every_key_of_a_report_table_is_documented(slbench: Command) -> None:
    columns = "final,gain,gain_images,median,iqm,diverged,published,nll"
    result = slbench("report", "golden.toml", *STORE, "--figures", "none", "--columns", columns, "--json")
    (label, *_) = {record["dataset"] for record in json.loads(result.out)["contrasts"]}
    keys = {
        key.replace("DATA", label).replace("METRIC", metric.key) for key in table_keys() for metric in METRICS.values()
    }
    printed = {key for line in json.loads(result.out)["table"] for key in line}
    assert {f"{label}_final_test_loss_std", f"{label}_final_test_top1_gain_images_df", f"{label}_ended"} <= printed
    assert printed <= keys | {"notes"}


@pytest.mark.usefixtures("golden")
def test_a_document_with_another_key_or_type_is_refused(slbench: Command) -> None:
    document = json.loads(slbench("status", "golden.toml", *STORE, "--json").out)
    changes: list[Any] = [{"more": 1}, {"total": "8"}, {"runs": [{}]}, {"seconds_left": float("nan")}]
    for change in changes:
        with pytest.raises((InputError, AssertionError)):
            check_document(["status"], json.dumps(document | change))


@pytest.mark.usefixtures("golden")
def test_the_log_of_a_run_is_printed_as_lines(slbench: Command) -> None:
    document = json.loads(slbench("logs", FAILED, *STORE, "--json").out)
    assert (document["id"], document["state"]) == (FAILED, "failed")
    assert document["lines"] == Path(document["file"]).read_text().splitlines()
    assert document["lines"]
    slbench("logs", FAILED, *STORE, "--json", "--follow").check_error("--follow", "--json")


@pytest.mark.usefixtures("golden")
def test_a_worker_ends_with_the_state_of_the_study(slbench: Command) -> None:
    result = slbench("work", "golden.toml", *STORE, "--json")
    document = json.loads(result.out)
    assert (document["done"], document["total"], document["worker"]["failed"]) == (8, 8, 0)
    assert "8 of 8 done" in result.err


@pytest.mark.usefixtures("golden")
def test_a_dry_run_of_a_submission_prints_the_script_as_text(slbench: Command) -> None:
    document = json.loads(slbench("submit", "golden.toml", *STORE, "--dry-run", "--json").out)
    assert document["study"] == "golden" and "#SBATCH" in document["script"]


@pytest.mark.usefixtures("verified_data")
def test_doctor_prints_its_checks_and_fails_as_without_json(slbench: Command, tmp_path: Path) -> None:
    file = tmp_path / "results"
    file.touch()
    result = slbench("doctor", "--store", file, "--json")
    document = json.loads(result.out)
    assert (result.code, document["passed"], document["selftest"]) == (1, False, None)
    (wrong,) = [check for check in document["checks"] if not check["passed"]]
    assert wrong["name"] == "store" and "--store" in wrong["fix"]
    assert "WRONG" in result.err


def test_init_prints_its_files_and_the_next_command(slbench: Command, tmp_path: Path) -> None:
    document = json.loads(slbench("init", tmp_path / "new", "--json").out)
    assert str(tmp_path / "new" / "study.toml") in document["written"]
    assert "slbench run-grid study.toml --plan" in document["next"]


def test_a_proof_of_exact_resume_has_its_schema() -> None:
    record = golden_record()
    run = StudyRun(record.spec, record.labels)
    same = Proof(run, (3,), record, record, {})
    other = Proof(run, (3,), record, record, {"final_test_top1": (24.2, 24.3)})
    lost = Proof(run, (), None, record, {})
    documents = [proof_document(proof) for proof in (same, other, lost)]
    assert [each["verdict"] for each in documents] == ["identical", "different", "inconclusive"]
    assert documents[2]["weights_sha256"] == {"uninterrupted": None, "killed": record.weights_sha256}
    text = json.dumps({"identical": 1, "total": 3, "runs": documents})
    check_document(["verify-resume"], text)
