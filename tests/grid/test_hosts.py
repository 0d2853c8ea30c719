"""Several hosts share a folder: each run is trained once, by one host at a time, whatever their clocks say."""

import itertools
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from slbench.store import Store
from tests.grid.simulated_host import RUNS, STALE
from tests.support import ROOT, runs

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
SKEWS = ("+0", "-7m", "+11m", "-3m")  # of the clock of each host
ISOLATED = ["unshare", "--uts", "--pid", "--net", "--mount", "--fork", "--kill-child=SIGKILL", "--mount-proc"]


def can_isolate() -> bool:
    try:
        return subprocess.run([*ISOLATED, "hostname", "probe"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def start_host(number: int, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a host in namespaces of its own, with a clock and a name of its own."""
    paths = [sys.executable, "-m", "tests.grid.simulated_host", str(folder / "results"), str(folder / f"log-{number}")]
    host = shlex.join([*paths, str(number)])
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(LIBRARY), "FAKETIME": SKEWS[number],
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    with (folder / f"out-{number}").open("wb") as output:
        return subprocess.Popen(
            [*ISOLATED, "sh", "-c", f"hostname host-{number} && exec {host}"],
            cwd=ROOT, env=environment, stdout=output, stderr=output,
        )  # fmt: skip


def events_of(folder: Path, number: int) -> list[list[str]]:
    path = folder / f"log-{number}"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def holdings(events: list[list[str]], killed_at: float | None) -> list[tuple[str, float, float]]:
    """Return run id, begin and end of each run that a host held."""
    begun, held = dict[str, float](), list[tuple[str, float, float]]()
    for when, name, run in events:
        if name == "begin":
            begun[run] = float(when)
        elif run in begun:
            held.append((run, begun.pop(run), float(when)))
    assert killed_at is not None or not begun, f"neither ended nor killed: {begun}"
    return held + [(run, start, killed_at) for run, start in begun.items() if killed_at is not None]


@pytest.mark.slow
@pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed")
@pytest.mark.skipif(not can_isolate(), reason="namespaces cannot be created here (needs root)")
def test_hosts_with_wrong_clocks_and_late_views_of_a_folder_train_each_run_once_and_never_two_at_a_time(
    tmp_path: Path,
) -> None:
    hosts = [start_host(number, tmp_path) for number in range(len(SKEWS))]
    deadline, killed_at = time.monotonic() + 300, None
    try:
        while time.monotonic() < deadline and any(host.poll() is None for host in hosts):
            begun = Counter(name for _, name, _ in events_of(tmp_path, 0))
            if killed_at is None and begun["begin"] > begun["end"]:
                hosts[0].send_signal(signal.SIGKILL)
                hosts[0].wait()
                killed_at = time.monotonic()
            time.sleep(0.02)
    finally:
        for host in hosts:
            host.kill()
            host.wait()
    outputs = "".join((tmp_path / f"out-{number}").read_text() for number in range(len(SKEWS)))
    assert [host.returncode for host in hosts] == [-signal.SIGKILL, 0, 0, 0], outputs
    assert killed_at is not None

    events = [events_of(tmp_path, number) for number in range(len(SKEWS))]
    clocks = [float(lines[-1][2]) for lines in events[1:]]
    assert max(clocks) - min(clocks) > 600, "the clocks of the hosts agree"
    held = [holdings(events[0], killed_at), *(holdings(lines, None) for lines in events[1:])]
    spans = sorted((run, start, end, number) for number, host in enumerate(held) for run, start, end in host)
    for (run, _, end, one), (later, start, _, other) in itertools.pairwise(spans):
        assert run != later or start >= end, f"{run}: held by host {one} and host {other} at once"
    abandoned = {run for run, _, end in held[0] if end == killed_at}
    again = [start for run, start, _, number in spans if run in abandoned and number > 0]
    assert again and all(start - killed_at > STALE / 2 for start in again), "taken over by a clock"
    ended = Counter(run for lines in events for _, name, run in lines if name == "end")
    store, jobs = Store(tmp_path / "results"), runs({"seed": list(range(RUNS))})
    assert ended.keys() == {run.spec.run_id for run in jobs} and set(ended.values()) == {1}
    assert set(store.states(run.spec for run in jobs).values()) == {"done"}
    assert not [line for lines in events for line in lines if line[1] in ("failed", "cancelled")]
    assert list((tmp_path / "results" / "claims").iterdir()) == []
