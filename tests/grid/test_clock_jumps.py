"""A grid whose clock jumps by minutes and days, and whose launchers are killed, ends like an undisturbed grid."""

import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from slbench.claims import Owner, current_claim, is_alive, read
from slbench.files import replace
from tests.grid.test_kills import STUDY, kill, launch, records_of, study_records

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
OFFSETS = ("+0", "+7m", "-7m", "+90m", "-2d", "+3d", "-400d", "+400d")
LAUNCHERS, KILLS = 2, 6
SLEEPING = "OSError: [Errno 22] Invalid argument"  # of libfaketime itself in an absolute clock_nanosleep during a jump
SECONDS = 900  # an undisturbed grid takes about 60


@contextmanager
def repeated(action: Callable[[], None], *, seconds: float) -> Iterator[None]:
    """Repeat an action in a thread within the block."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class ClaimObserver:
    """Notes every claim that was taken over while a worker process of its owner was alive."""

    def __init__(self, claims: Path) -> None:
        self.claims, self.stolen = claims, list[str]()
        self.seen: dict[str, tuple[int, Owner]] = {}

    def look(self) -> None:
        for folder in self.claims.glob("*"):
            claim = current_claim(folder)
            owner = read(claim.path)[0] if claim is not None and not claim.is_free else None
            if claim is None or owner is None:
                continue
            number, before = self.seen.get(folder.name, (claim.number, owner))
            if claim.number > number and any(is_alive(pid, start) for pid, start in before.processes[1:]):
                self.stolen.append(f"{folder.name}: {number} of {before.processes} by {claim.number}")
            self.seen[folder.name] = claim.number, owner


@pytest.mark.slow
@pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed")
def test_a_grid_with_jumps_of_the_clock_finishes_every_run_once_with_the_weights_of_an_undisturbed_grid(
    tmp_path: Path,
) -> None:
    study, store, offset = tmp_path / "study.toml", tmp_path / "jumping", tmp_path / "offset"
    study.write_text(STUDY.replace("EPOCHS", "12").replace("SEEDS", "[0, 1, 2]"))
    draw, jumps, kills = random.Random(17), list[str](), list[str]()
    clock = {
        "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip

    def jump() -> None:
        jumps.append(draw.choice(OFFSETS))
        replace(offset, jumps[-1])

    jump()
    shown = subprocess.run(["date", "+%s"], env={**clock, "FAKETIME_TIMESTAMP_FILE": str(offset)}, capture_output=True)
    assert shown.returncode == 0, shown.stderr
    observer, first_records = ClaimObserver(store / "claims"), dict[str, tuple[int, int]]()
    deadline = time.monotonic() + SECONDS
    finished, running = 0, dict[int, subprocess.Popen[str]]()
    with repeated(jump, seconds=0.5), repeated(observer.look, seconds=0.05):
        while finished < LAUNCHERS:
            for number in range(LAUNCHERS):
                launcher = running.get(number)
                if launcher is None or (launcher.poll() is not None and launcher.returncode != 0):
                    running[number] = launch(study, store, tmp_path / f"jumping-{number}.txt", **clock)
            time.sleep(draw.uniform(0.0, 6.0))
            victim = running[draw.randrange(LAUNCHERS)]
            if len(kills) < KILLS and victim.poll() is None and psutil.Process(victim.pid).children():
                kills.append(kill(victim, draw))
            for run, version in records_of(store).items():
                assert first_records.setdefault(run, version) == version, f"{run}: its record was written again"
            finished = sum(launcher.poll() == 0 for launcher in running.values())
            assert time.monotonic() < deadline, "a launcher waits for ever"
    assert observer.stolen == []
    assert len(jumps) > 20 and len(kills) == KILLS
    logs = "".join((tmp_path / f"jumping-{number}.txt").read_text() for number in range(LAUNCHERS))
    assert set(re.findall(r"^\w+Error.*", logs, re.MULTILINE)) <= {SLEEPING}
    assert launch(study, tmp_path / "undisturbed", tmp_path / "undisturbed.txt").wait(timeout=600) == 0

    undisturbed, jumped = (study_records(folder, study) for folder in (tmp_path / "undisturbed", store))
    assert len(undisturbed) == len(jumped) == 6
    for expected, actual in zip(undisturbed, jumped, strict=True):
        different = expected.differences(actual)
        different.pop("code", None)  # git, asked for the commit with a limit of seconds, fails under the faked clock
        assert different == {}
    assert list((store / "claims").iterdir()) == []
