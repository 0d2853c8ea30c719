"""`slbench submit --engine ray` with a driver that stands in for a cluster."""

import json
import platform
import socket
import time
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil
import pytest

from slbench.engine_settings import RaySettings
from slbench.engines import ray_cluster
from slbench.engines.submission import Attempt, Submission, folder_of, submissions
from slbench.engines.watch import bad_nodes, status
from slbench.engines.worker import EngineWorker
from slbench.errors import EngineError
from slbench.store import Store
from tests.cli.conftest import Command
from tests.support import TINY_STUDY, missing


class FakeDriver:
    """A driver of a cluster, without Ray."""

    requests: ClassVar[list[dict[str, Any]]] = []
    answers: ClassVar[dict[str, dict[str, Any]]] = {}
    workers: ClassVar[list[list[Any]]] = []  # left in the cluster: submission, task, host
    lost: ClassVar[bool] = False  # the answer to "start"

    def __init__(self, address: str) -> None:
        self.address = address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        self.requests.append({"command": command, **request})
        if command == "start":
            self.workers.extend([request["name"], task, None] for task in range(request["workers"]))
            if self.lost:
                raise EngineError("Ray: no answer")
        if command == "queue":
            return {"workers": [worker for worker in self.workers if worker[0] in request["names"]]}
        if command == "cancel":
            self.workers.clear()
        return self.answers.get(command, {})

    @classmethod
    def of(cls, command: str) -> list[dict[str, Any]]:
        return [request for request in cls.requests if request["command"] == command]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeDriver]:
    """A cluster at head:6379 that answers."""
    for name, value in {"requests": [], "answers": {}, "workers": [], "lost": False}.items():
        monkeypatch.setattr(FakeDriver, name, value)
    monkeypatch.setattr(ray_cluster, "RayDriver", FakeDriver)
    monkeypatch.setattr(ray_cluster, "check_address", lambda address: None)
    monkeypatch.setattr(ray_cluster, "has_ended", lambda address: False)
    monkeypatch.setattr("slbench.engines.submit.LOOKUPS", (0.0,))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setenv("SLBENCH_MAX_MACS", "7e12")
    monkeypatch.setenv("API_TOKEN", "s3cret")
    return FakeDriver


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of four runs."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_STUDY.replace("[set]", "seed = [0, 1]\n[set]"))
    return path


@pytest.fixture
def submit(slbench: Command, study: Path, tmp_path: Path) -> Any:
    """Return a function that submits workers."""
    flags = ["--engine", "ray", "--store", tmp_path / "results"]
    return lambda *more: slbench("submit", study, *flags, *more)


def test_workers_are_recorded_shown_and_cancelled(
    submit: Any, slbench: Command, study: Path, tmp_path: Path, ray: type[FakeDriver]
) -> None:
    result = submit("--workers", 3, "--num-cpus", 2, "--num-gpus", 0.5, "--resource", "a100=1")
    assert result.code == 0 and not missing(result.out, "3 workers", "head:6379", "4 runs")
    ((submission, folder),) = submissions(Store(tmp_path / "results"))
    assert (submission.engine, submission.state, submission.address) == ("ray", "submitted", "head:6379")
    (asked,) = ray.of("start")
    assert asked["needs"] == {"CPU": 2, "GPU": 0.5, "a100": 1}
    ray.workers[0][2] = "n5"
    folder.write_worker(2, [attempt(submission, end="no work")])
    ray.workers.pop()
    status = slbench("status", study, "--store", tmp_path / "results").out
    assert not missing(status, "1 running on n5", "1 pending (no free resources)", "1 ended: no work")
    assert not missing(submit("--workers", 3).out, "1 worker", "2 active")
    folder.log(1).write_text("hello\n")
    assert slbench("logs", f"{submission.job_id}_1", "--store", tmp_path / "results").out == "hello\n"
    assert not missing(slbench("cancel", study, "--store", tmp_path / "results").out, "3 workers")
    assert [submission.name, None] in ray.of("cancel")[0]["workers"]
    assert not missing(slbench("status", study, "--store", tmp_path / "results").out, "2 ended: cancelled")


def attempt(submission: Submission, **changes: Any) -> Attempt:
    started = Attempt(restart=0, job_id=submission.job_id or "", hostname="n3", started_at="2026-11-27T07:31:38+00:00")
    return started.model_copy(update=changes)


def test_workers_get_variables_of_slbench_and_no_secret_is_stored(
    submit: Any, ray: type[FakeDriver], tmp_path: Path
) -> None:
    assert submit().code == 0
    (asked,) = ray.of("start")
    assert asked["environment"]["SLBENCH_MAX_MACS"] == "7e12" and "API_TOKEN" not in asked["environment"]
    stored = [path.read_text() for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert stored and "s3cret" not in json.dumps(stored)


def test_a_submission_whose_answer_is_lost_is_found_by_its_name(
    submit: Any, ray: type[FakeDriver], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ray, "lost", True)
    assert submit("--workers", 2).code == 0
    ((submission, _),) = submissions(Store(tmp_path / "results"))
    assert submission.state == "submitted" and submission.name.endswith(str(submission.job_id))
    assert "nothing to submit: 2 workers active" in submit("--workers", 2).out


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ("no node has what a worker needs (CPU 99; at most there is CPU 2)", ("CPU 99", "--force")),
        ("node n2: /x/results is not visible there", ("n2", "share", "export", "import")),
    ],
)
def test_what_cannot_run_is_refused_before_submission(
    submit: Any, ray: type[FakeDriver], refused: str, words: tuple[str, ...]
) -> None:
    ray.answers["check"] = {"refused": refused}
    submit().check_error("--engine ray", *words)
    assert ray.of("start") == []


def test_a_node_on_which_workers_fail_to_start_is_left_out_of_the_next_submission(
    submit: Any, slbench: Command, study: Path, tmp_path: Path, ray: type[FakeDriver]
) -> None:
    store = Store(tmp_path / "results")
    assert submit("--workers", 2).code == 0
    ((submission, folder),) = submissions(store)
    for task in range(2):
        folder.write_worker(task, [attempt(submission, end="failed", message="no GPU")])
    ray.workers.clear()
    assert not missing(slbench("status", study, "--store", store.root).out, "node n3: 2 workers", "no GPU", "--exclude")
    result = submit("--workers", 1)
    assert result.code == 0 and not missing(result.out, "left out: n3: 2 workers", "no GPU", "--force", "--exclude")
    assert [request["exclude"] for request in ray.of("check") + ray.of("start")] == [[], ["n3"], [], ["n3"]]
    assert {each.settings.exclude for each, _ in submissions(store)} == {
        None,
        "n3",
    }  # names of one second have no order
    for count, (flags, excluded) in enumerate({("--force",): [], ("--exclude", "n7, n9"): ["n7", "n9"]}.items()):
        result = submit("--workers", 2 + count, *flags)
        assert result.code == 0 and "left out" not in result.out, "the user's choice counts"
        assert ray.of("start")[-1]["exclude"] == excluded


@pytest.mark.usefixtures("ray")
def test_a_cluster_that_has_ended_has_no_workers(
    submit: Any, slbench: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert submit().code == 0
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ended = f"127.0.0.1:{unused.getsockname()[1]}"
    ((submission, folder),) = submissions(Store(tmp_path / "results"))
    folder.write(submission.model_copy(update={"address": ended}))
    folder.write_worker(0, [attempt(submission)])
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert not missing(slbench("status", study, "--store", tmp_path / "results").out, "1 ended: killed")
    submit("--ray-address", ended).check_error("--ray-address", "no cluster", ended)
    submit("--ray-address", "head").check_error("--ray-address", "HOST:PORT", "head")


@pytest.mark.usefixtures("ray")
def test_flags_of_another_engine_are_refused(submit: Any, slbench: Command, study: Path, tmp_path: Path) -> None:
    submit("--partition", "gpu").check_error("--partition", "--engine ray")
    submit("--resource", "a100").check_error("--resource", "NAME=NUMBER", "a100")
    slbench("submit", study, "--store", tmp_path, "--num-gpus", 1).check_error("--num-gpus", "--engine slurm")


def test_without_ray_nothing_is_submitted(submit: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    submit().check_error("--engine ray", "not installed", "slbench[ray]")


def test_a_worker_at_its_time_limit_tells_its_actor_to_start_it_again(tmp_path: Path) -> None:
    submission = Submission.create("tiny", workers=2, settings=RaySettings(), study_folder=tmp_path)
    folder = folder_of(Store(tmp_path / "results"), submission)
    folder.write(submission)
    folder.write_worker(1, [attempt(submission)])
    with EngineWorker(folder.path, task=1) as worker:
        worker._progressed = True
        worker.end("time limit")
        assert worker.requeue() == "requeued" and worker.seconds is None
    last = folder.worker(1).last
    assert last is not None and last.requeued and (last.restart, last.job_id) == (1, submission.name[-8:])


@pytest.mark.slow
def test_a_cluster_of_this_machine_listens_on_the_loopback_interface_only_and_sees_what_it_can_hold(
    tmp_path: Path,
) -> None:
    with ray_cluster.RayDriver("") as driver:
        children = [psutil.Process(driver._process.pid), *psutil.Process(driver._process.pid).children(recursive=True)]
        sockets = [each.laddr for process in children for each in process.net_connections() if each.status == "LISTEN"]
        assert len(sockets) > 2 and {address.ip.removeprefix("::ffff:") for address in sockets} == {"127.0.0.1"}
        assert not [process for process in children if "--disable-frontend" not in str(dashboard(process))]
        asked = {"folder": str(tmp_path / "store" / "engines" / "s" / "x"), "python": "/bin/sh", "force": False}
        asked |= {"exclude": []}
        refused = driver.ask("check", needs={"CPU": 9999.0}, **asked)["refused"]
        assert not missing(refused, "no node has", "CPU 9999")
        assert not missing(
            driver.ask("check", needs={"CPU": 1.0}, **asked)["refused"], tmp_path / "store", "not visible"
        )
        with pytest.raises(EngineError, match="exclude"):
            driver.ask("check")
        processes = [process for process in children if process.is_running()]
    psutil.wait_procs(processes, timeout=30)
    assert not [process for process in processes if process.is_running() and process.status() != "zombie"]


@pytest.mark.slow
def test_a_worker_that_cannot_begin_is_recorded_with_its_host_and_none_is_placed_on_a_host_that_is_left_out(
    tmp_path: Path,
) -> None:
    submission = Submission.create("tiny", workers=2, settings=RaySettings(), study_folder=tmp_path)
    folder, host = folder_of(Store(tmp_path / "results"), submission), platform.node()
    folder.write(submission)
    folder.script.write_text("exit 3\n")
    request = {"needs": {"CPU": 0.5}, "folder": str(folder.path), "umask": 0o022, "environment": {}}
    with ray_cluster.RayDriver("") as driver:

        def left(name: str) -> list[str | None]:
            return [node for _, _, node in driver.ask("queue", names=[name])["workers"]]

        driver.ask("start", name=submission.name, workers=2, exclude=[], **request)
        while left(submission.name):
            time.sleep(0.1)
        check = {"needs": {"CPU": 0.5}, "folder": str(folder.path), "python": "/bin/sh", "force": False}
        assert driver.ask("check", exclude=[], **check) == {}
        assert not missing(driver.ask("check", exclude=[host], **check)["refused"], "no node has", "CPU 0", host)
        driver.ask("start", name="elsewhere-1", workers=1, exclude=[host], **request)
        assert left("elsewhere-1") == [None], "it was placed"
        driver.ask("cancel", workers=[["elsewhere-1", None]])
        assert left("elsewhere-1") == []
    for task in range(2):
        (failed,) = folder.worker(task).attempts
        assert (failed.end, failed.hostname, failed.job_id) == ("failed", host, submission.name[-8:])
        assert not missing(failed.message, "exit code 3")
    assert list(bad_nodes([status(submission, folder, queue={submission.name: []})])) == [host]


def dashboard(process: psutil.Process) -> list[str]:
    """Return the command line of Ray's dashboard; else one that is accepted."""
    line = process.cmdline()
    return line if any(part.endswith("dashboard.py") for part in line) else ["--disable-frontend"]
