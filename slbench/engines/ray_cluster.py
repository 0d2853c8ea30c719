"""Ray as a `Scheduler`: workers are detached actors of a cluster, which a driver process talks to.

A cluster that slbench starts on this machine listens on the loopback interface only, without the dashboard.
"""

import importlib.util
import ipaddress
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from slbench.engine_settings import Engine, RaySettings
from slbench.engines.engine import Answer, Task, script_body
from slbench.engines.submission import Submission
from slbench.errors import EngineError, InputError
from slbench.text import one_line, shown

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 180.0  # for a connection; for an answer of the driver
INHERITED = "SLBENCH_"  # beginning of the variables that workers get from this process


class RayDriver:
    """Process that is connected to a cluster, as a context manager.

    Args:
        address: HOST:PORT; empty: of a cluster on this machine that ends with the driver.
    Raises:
        InputError: if Ray is not installed, or nothing listens at the address.
        EngineError: if what listens there does not answer as a cluster.
    """

    def __init__(self, address: str) -> None:
        if importlib.util.find_spec("ray") is None:
            raise InputError("--engine ray: Ray is not installed; pip install 'slbench[ray]'")
        environment = {"RAY_worker_niceness": "0", **os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
        if not address or is_loopback_only(address):
            environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # listen and connect on 127.0.0.1
        environment.pop("RAY_ADDRESS", None)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the driver)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "slbench.engines.ray_driver"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            self.address: str = self.ask("connect", address=address)["address"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the driver, and its cluster if it started one."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._errors.close()

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """Return the answer to a request. Raises EngineError without one, or if the cluster reports an error."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **request}).encode() + b"\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._read_line())
        except (OSError, ValueError) as error:
            words = "" if isinstance(error, TimeoutError) else self._last_words()
            raise EngineError(f"Ray: no answer: {words or error}") from error
        if problem := answer.get("error") or answer.get("unreachable"):
            raise EngineError(f"Ray: {problem}")
        return answer

    def _last_words(self) -> str:
        """Return the last line that the driver has printed."""
        self._errors.seek(0)
        return one_line(self._errors.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2])

    def _read_line(self) -> bytes:
        """Return the next line; raises TimeoutError if there is none in time."""
        assert self._process.stdout is not None
        deadline, text = time.monotonic() + ANSWER_SECONDS, b""
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} s")
            part = os.read(self._process.stdout.fileno(), 65536)
            if not part:
                break
            text += part
        return text


class RayCluster:
    """Ray as a `Scheduler`.

    Args:
        driver: of the cluster that this process has started; default: a driver for each request.
    """

    name: Engine = "ray"

    def __init__(self, driver: RayDriver | None = None) -> None:
        self.driver = driver

    def script(self, submission: Submission, folder: Path, command: Sequence[str]) -> str:
        """See `Scheduler.script`; its argument is the number of the worker."""
        body = script_body(submission.settings.setup, command, folder=folder)
        return "\n".join(["#!/bin/bash", *body[:-1], f'{body[-1]} --task "$1"', ""])

    def check(self, submission: Submission, folder: Path, *, force: bool) -> None:
        """See `Scheduler.check`."""
        answer = self._ask(
            submission.address, "check", needs=settings_of(submission).needs, folder=str(folder), python=sys.executable,
            force=force, exclude=settings_of(submission).excluded,
        )  # fmt: skip
        if "refused" in answer:
            cure = (
                "the store must be a folder that all nodes share; without one, train apart with slbench work, then "
                "slbench export and slbench import"
                if "visible" in answer["refused"]
                else "--force submits all the same, for a cluster that grows"
                if "no node has" in answer["refused"]
                else "--exclude submits without a node"
            )
            raise InputError(f"--engine ray: {answer['refused']}; {cure}")

    def start(self, submission: Submission, folder: Path) -> Answer:
        """See `Scheduler.start`."""
        umask = os.umask(0o077)
        os.umask(umask)
        try:
            self._ask(
                submission.address, "start", name=submission.name, workers=submission.workers,
                needs=settings_of(submission).needs, exclude=settings_of(submission).excluded, folder=str(folder),
                umask=umask,
                environment={key: value for key, value in os.environ.items() if key.startswith(INHERITED)},
            )  # fmt: skip
        except EngineError as error:
            return Answer(1, "", str(error), is_unreachable=True)
        return Answer(0, job_id(submission), "")

    def queue_of(self, submissions: Collection[Submission]) -> dict[str, list[Task]]:
        """See `Scheduler.queue_of`; one query for each cluster. One that has ended has no workers."""
        found: dict[str, list[Task]] = {each.name: [] for each in submissions}
        for address in sorted({each.address for each in submissions}):
            names = {each.name: each for each in submissions if each.address == address}
            if has_ended(address):
                continue
            answer = self._ask(address, "queue", names=list(names))
            for name, task, node in answer["workers"]:
                state, reason = ("PENDING", "no free resources") if node is None else ("RUNNING", "")
                found[name].append(Task(job_id(names[name]), task, state, node or "", reason))
        return found

    def ended_states(self, job_ids: Collection[str]) -> dict[tuple[str, int], Task]:  # noqa: ARG002
        """See `Scheduler.ended_states`: Ray keeps no record of actors that have ended."""
        return {}

    def cancel(self, targets: Sequence[tuple[Submission, str, Collection[int] | None]]) -> None:
        """See `Scheduler.cancel`."""
        for address in sorted({submission.address for submission, _, _ in targets}):
            workers = [
                [submission.name, None if tasks is None else sorted(tasks)]
                for submission, _, tasks in targets
                if submission.address == address
            ]
            self._ask(address, "cancel", workers=workers)

    def _ask(self, address: str, command: str, **request: Any) -> dict[str, Any]:
        if self.driver is not None and address == self.driver.address:
            return self.driver.ask(command, **request)
        check_address(address)
        with RayDriver(address) as driver:
            return driver.ask(command, **request)


def settings_of(submission: Submission) -> RaySettings:
    assert isinstance(submission.settings, RaySettings)
    return submission.settings


def job_id(submission: Submission) -> str:
    """Return the part of a submission's name that no other has."""
    return submission.name.rpartition("-")[2]


def check_address(address: str) -> None:
    """Raise InputError unless something listens at HOST:PORT; EngineError if it cannot be told."""
    host, port = parsed(address)
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except (ConnectionRefusedError, socket.gaierror) as error:
        raise InputError(
            f"--ray-address: no cluster at this address (got {shown(address)}): {error.strerror}"
        ) from None
    except OSError as error:
        raise EngineError(f"--ray-address: {address} does not answer: {error}") from None


def has_ended(address: str) -> bool:
    """Return whether the host of a cluster answers, and nothing listens there any more."""
    try:
        socket.create_connection(parsed(address), timeout=CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False  # it cannot be told
    return False


def parsed(address: str) -> tuple[str, int]:
    """Return host and port of an address. Raises InputError for any other text."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"--ray-address: must be HOST:PORT or ray://HOST:PORT (got {shown(address)})")
    return host.strip("[]"), int(port)


def is_loopback_only(address: str) -> bool:
    """Return whether a cluster listens on 127.0.0.1 and not on another address of this machine, as ours do.

    Ray would replace a loopback address by that other one.
    """
    host, port = parsed(address)
    try:
        if not ipaddress.ip_address(host).is_loopback:
            return False
    except ValueError:
        if host != "localhost":
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
        try:
            outward.connect(("192.0.2.1", 9))  # sends nothing
            socket.create_connection((outward.getsockname()[0], port), timeout=CONNECT_SECONDS).close()
        except OSError:
            return True
    return False
