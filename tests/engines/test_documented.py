"""The ssh loop and the Kubernetes Job of docs/clusters.md do what the page says, as they stand there."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

import psutil
import pytest

from slbench.store import Store
from slbench.study import load_study
from tests.engines.real_slurm import free_ports, wait_for
from tests.grid.test_hosts import can_isolate
from tests.support import ROOT, TINY_STUDY, missing

PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
AS_PID_1 = ["unshare", "--pid", "--mount", "--fork", "--kill-child=SIGKILL", "--mount-proc"]


def block(words: str) -> str:
    """Return the block of the page with these words."""
    (found,) = (text for text in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) if words in text)
    return str(found)


def states(study: Path) -> set[str]:
    store = Store(study.parent / "results")
    return set(store.states(run.spec for run in load_study(study).runs).values())


@contextmanager
def ssh_to_this_machine(folder: Path) -> Iterator[Path]:
    """Run an ssh server of this machine within the block; yield a folder with an `ssh` to hosts a, b and c."""
    assert SSHD is not None
    (port,) = free_ports(1)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    settings = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": folder / "user.pub", "PasswordAuthentication": "no", "StrictModes": "no",
        "PermitRootLogin": "prohibit-password",
    }  # fmt: skip
    (folder / "sshd.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    options = {
        "HostName": "127.0.0.1", "Port": port, "IdentityFile": folder / "user", "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "accept-new", "UserKnownHostsFile": folder / "known", "LogLevel": "ERROR",
    }  # fmt: skip
    (folder / "ssh.conf").write_text("Host a b c\n" + "".join(f"{name} {value}\n" for name, value in options.items()))
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder / "ssh.conf"} "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd.conf"], stdout=log, stderr=log)
        try:
            wait_for(lambda: b"listening" in (folder / "sshd.log").read_bytes())
            yield folder / "bin"
        finally:
            server.terminate()
            server.wait()


@pytest.mark.slow
@pytest.mark.skipif(SSHD is None, reason="no ssh server is installed: apt-get install openssh-server")
def test_the_ssh_loop_returns_at_once_and_its_workers_finish_every_run_once(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / "study.toml").write_text(TINY_STUDY)
    program = project / ".venv" / "bin" / "slbench"
    work = (
        f'PYTHONPATH={quote(str(ROOT))} exec {quote(sys.executable)} -m slbench "$@" --devices cpu --jobs-per-device 1'
    )
    program.write_text(f"#!/bin/sh\necho began\nwhile ! test -e go; do sleep 0.1; done\n{work}\n")
    program.chmod(0o755)
    loop = block("for host in")
    assert "/shared/project" in loop
    with ssh_to_this_machine(tmp_path) as programs:
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

        def run(folder: Path) -> "subprocess.CompletedProcess[str]":
            script = loop.replace("/shared/project", str(folder))
            return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=300)

        absent = run(tmp_path / "absent")
        assert absent.returncode != 0 and absent.stderr.count("No such file") == 3
        done = run(project)  # before any worker may begin
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    logs = [project / f"{host}.log" for host in "abc"]
    (project / "go").touch()  # the connections and their server have ended
    wait_for(lambda: all("2 of 2 done" in log.read_text() for log in logs), seconds=600)
    text = "".join(log.read_text() for log in logs)
    assert states(project / "study.toml") == {"done"} and len(re.findall(r"^done ", text, re.MULTILINE)) == 2
    assert text.count("began") == 3 and "Traceback" not in text


def job() -> dict[str, Any]:
    """Return the Job of the page."""
    content: dict[str, Any] = pytest.importorskip("yaml").safe_load(block("kind: Job"))
    return content


def test_the_job_ends_for_what_no_pod_can_cure_and_gives_a_pod_the_time_to_stop() -> None:
    from slbench.errors import InputError, StoreError
    from slbench.grid.local import STOP_SECONDS

    spec = job()["spec"]
    pod = spec["template"]["spec"]
    (ends,) = (rule["onExitCodes"] for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailJob")
    assert {InputError.exit_code, StoreError.exit_code} == set(ends["values"])
    assert pod["restartPolicy"] == "Never", "as a policy of failures needs"
    assert pod["terminationGracePeriodSeconds"] > STOP_SECONDS
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def start_pod(store: Path) -> "subprocess.Popen[str]":
    """Start the container of the Job as process 1 of a namespace, with a folder in place of its volume."""
    (container,) = job()["spec"]["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    name, *arguments = [
        part.replace(mount["mountPath"], str(store)) for part in [*container["command"], *container["args"]]
    ]
    assert name == "slbench" and str(store / "results") in arguments
    return subprocess.Popen(
        [*AS_PID_1, sys.executable, "-m", name, *arguments],
        cwd="/", env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not can_isolate(), reason="namespaces cannot be created here (needs root)")
def test_a_pod_stops_at_a_checkpoint_at_sigterm_and_the_next_one_continues(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    refused = start_pod(tmp_path)
    output, _ = refused.communicate()
    assert refused.returncode == 2 and not missing(output, study) and output.count("\n") == 1

    study.write_text(TINY_STUDY.replace('["none", "lsa"]', '["none"]').replace("epochs = 1", "epochs = 7"))
    first = start_pod(tmp_path)
    while not list(tmp_path.glob("results/runs/*/checkpoint.pt")):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.1)
    (process,) = psutil.Process(first.pid).children()
    process.send_signal(signal.SIGTERM)
    output, _ = first.communicate()
    assert first.returncode == 130 and "SIGTERM" in output, output
    assert states(study) == {"paused"} and not list(tmp_path.glob("results/runs/*/failure.json"))

    second = start_pod(tmp_path)
    output, _ = second.communicate()
    assert second.returncode == 0 and "resume " in output and "done " in output, output
    assert states(study) == {"done"}
