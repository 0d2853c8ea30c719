"""Two users work on one store: each run is finished once, whoever began it; what one may not touch is one line."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slbench.store import Store
from slbench.study import load_study
from tests.engines.users import GROUP, User, can_become
from tests.support import TINY_STUDY, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_become(), reason="other users' processes cannot be started here (needs root)"),
]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder of a group that users may enter, unlike those of pytest; what is created in it belongs to the group."""
    with tempfile.TemporaryDirectory(prefix="slbench-users-", ignore_cleanup_errors=True) as name:
        os.chown(name, 0, GROUP)
        Path(name).chmod(0o2775)
        (Path(name) / "study.toml").write_text(TINY_STUDY.replace("epochs = 1", "epochs = 5"))
        yield Path(name)


def work(shared: Path, *more: object) -> list[object]:
    flags = ["--devices", "cpu", "--jobs-per-device", 1, "--wait"]
    return ["work", shared / "study.toml", "--store", shared / "results", *flags, *more]


def kill_at_a_checkpoint(worker: "subprocess.Popen[str]", store: Store) -> None:
    """Kill a worker and its run, when that has a checkpoint."""
    while not list(store.root.glob("runs/*/checkpoint.pt")):
        assert worker.poll() is None, worker.communicate()[0]
        time.sleep(0.1)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.communicate()


def test_two_users_with_a_common_group_finish_each_run_once_and_continue_each_other_s(shared: Path) -> None:
    store, runs = Store(shared / "results"), [run.spec for run in load_study(shared / "study.toml").runs]
    ann, ben = (User(number, umask=0o002, home=shared / f"home-{number}") for number in (1, 2))
    kill_at_a_checkpoint(ann.start(*work(shared)), store)
    first = ben.start(*work(shared))
    while not [path for path in store.root.glob("runs/*/launch.json") if path.stat().st_uid == ben.uid]:
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.1)
    second = ann.start(*work(shared))
    outputs = [worker.communicate()[0] for worker in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert set(store.states(runs).values()) == {"done"}
    finished = [line for output in outputs for line in output.splitlines() if line.startswith("done ")]
    assert len(finished) == len(runs), outputs
    continued = {path.parent for path in store.root.glob("runs/*/log.txt") if path.stat().st_uid == ann.uid}
    records = {path.parent for path in store.root.glob("runs/*/record.json") if path.stat().st_uid == ben.uid}
    assert continued & records, "no run that one user began was finished by the other"
    assert "resume " in outputs[0] and not list(store.root.glob("runs/*/failure.json"))
    for user in (ann, ben):
        code, output = user.run("report", shared / "study.toml", "--store", store.root, "--figures", "none")
        assert code == 0, output


def test_what_another_user_keeps_private_is_named_in_one_line_and_stays(shared: Path) -> None:
    store, runs = Store(shared / "results"), [run.spec for run in load_study(shared / "study.toml").runs]
    store.root.mkdir()
    store.root.chmod(0o2775)
    ann, ben = User(1, umask=0o077, home=shared / "ann"), User(2, umask=0o002, home=shared / "ben")
    code, output = ann.run(*work(shared, "--max-runs", 1))
    assert code == 0, output
    before = contents(store.root)
    for command in ("status", "report", "work"):
        code, output = ben.run(*[command, *work(shared)[1:]][: 4 if command != "work" else None])
        assert code == 2 and output.count("\n") == 1, output
        assert not missing(output, store.root / "runs", f"belongs to user {ann.uid}", "umask 002")
    assert contents(store.root) == before

    for name in ("runs", "ids", "claims", "studies", "versions"):  # of a group, with a private run among them
        (store.root / name).chmod(0o2775)
    for path in [*store.root.glob("studies/*"), *store.root.glob("versions/*")]:
        path.chmod(0o664)
    code, output = ben.run(*work(shared))
    assert code != 0 and "Traceback" not in output, output
    assert not missing(output, "runs/", f"belongs to user {ann.uid}")
    assert {path: text for path, text in contents(store.root).items() if path in before} == before
    code, output = ann.run(*work(shared))
    assert code == 0, output
    assert set(store.states(runs).values()) == {"done"}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
