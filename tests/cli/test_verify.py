"""`slbench verify-resume` on the command line."""

import json
from pathlib import Path

import pytest

from slbench.grid.verify import Proof
from tests.cli.conftest import Command
from tests.support import make_record, missing, runs


def test_a_folder_that_is_not_empty_is_refused(slbench: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    result = slbench("verify-resume", "--backbone", "vit", "--keep", tmp_path)
    result.check_error("--keep", tmp_path, "empty")


@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_is_1_if_a_run_differs(
    slbench: Command, monkeypatch: pytest.MonkeyPatch, holds: bool, code: int
) -> None:
    (run,) = runs()
    record = make_record(run)
    proof = Proof(run, (7, 9), record, record, {} if holds else {"steps": (1, 2)})
    for name in ("run_undisturbed", "run_killed"):
        monkeypatch.setattr(f"slbench.cli.verify.Verification.{name}", lambda self, on_event: None)
    monkeypatch.setattr("slbench.cli.verify.Verification.proofs", lambda self: [proof])
    command = ("verify-resume", "--backbone", "vit", "--method", "none", "--devices", "cpu")
    result = slbench(*command, "--json")
    assert (result.code, json.loads(result.out)["identical"]) == (code, int(holds))
    result = slbench(*command)
    assert result.code == code
    last = result.out.splitlines()[-1]
    assert not missing(last, int(holds), "1 run", "2", "SIGKILL")
