"""A store of thousands of runs and hundreds of workers: time, memory, contention and file operations.

Jobs are fake: they write the files of a run and train nothing. Everything else is what `slbench work` does. Run by
`make bench-scale`; the stores are in memory if /dev/shm exists, so that the disk is not what is measured.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slbench import __version__, machine
from slbench.grid.events import AlreadyFinished, Event, Finished
from slbench.grid.executor import Limits
from slbench.grid.local import LocalExecutor
from slbench.store import Store
from slbench.study import StudyRun, load_study
from tests.file_operations import file_operations
from tests.grid.fake_jobs import fake_workers, one_slot

STUDY = """
title = "A generated grid"
[grid]
backbone = ["vit", "swin"]
method = ["none", "spt", "lsa", "both"]
dataset = ["cifar10", "cifar100", "svhn", "tiny-imagenet", "fashion-mnist"]
seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]
"recipe.lr" = LEARNING_RATES
[set]
recipe.epochs = 3
"""
SIZES = (1_000, 3_000, 10_000)
KILOBYTES = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss


@dataclass
class Work:
    """What workers did."""

    finished: Counter[str]  # runs trained here, by id
    seconds: float = 0.0
    lost: int = 0  # claims of others, met when a run was to be claimed
    seen: int = 0  # runs that others had ended


def work(runs: tuple[StudyRun, ...], root: Path, done: Work) -> None:
    """Be a worker until no run is left to claim."""
    store = Store(root)
    acquire = store.claims.acquire

    def counted(run_id: str) -> Any:
        claim = acquire(run_id)
        done.lost += claim is None
        return claim

    store.claims.acquire = counted  # type: ignore[method-assign]

    def see(event: Event) -> None:
        if isinstance(event, Finished):
            done.finished[event.run.spec.run_id] += 1
        done.seen += isinstance(event, AlreadyFinished)

    began = time.perf_counter()
    LocalExecutor(
        one_slot(),
        store=store,
        precisions={"auto": "fp32", "fp32": "fp32"},
        on_event=see,
        limits=Limits(wait=lambda: False),
    ).run(runs)
    done.seconds = time.perf_counter() - began


def in_threads(runs: tuple[StudyRun, ...], root: Path, workers: int) -> list[Work]:
    """Let simulated workers, threads of this process, share a store."""
    results = [Work(Counter()) for _ in range(workers)]
    threads = [threading.Thread(target=work, args=(runs, root, result)) for result in results]
    with fake_workers():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


def in_processes(runs: tuple[StudyRun, ...], root: Path, workers: int) -> list[Work]:
    """Let real processes share a store; they begin together."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(workers), context.SimpleQueue()

    def begin() -> None:
        result = Work(Counter())
        barrier.wait()
        with fake_workers():
            work(runs, root, result)
        answers.put(result)

    processes = [context.Process(target=begin) for _ in range(workers)]
    for process in processes:
        process.start()
    results = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return results


def check_once(runs: tuple[StudyRun, ...], results: list[Work]) -> None:
    """Check that each run was trained once."""
    finished = sum((result.finished for result in results), Counter[str]())
    again = [run_id for run_id, times in finished.items() if times > 1]
    assert not again, f"trained twice: {again[:5]}"
    missing = {run.spec.run_id for run in runs} - finished.keys()
    assert not missing, f"not trained: {len(missing)}"


def study_of(folder: Path, count: int) -> Path:
    path = folder / f"study-{count}.toml"
    rates = [round(0.0001 * (number + 1), 4) for number in range(count // 1_000)]
    path.write_text(STUDY.replace("LEARNING_RATES", str(rates)))
    return path


@dataclass(frozen=True)
class Cost:
    """Cost of a process."""

    wall: float  # seconds
    cpu: float  # seconds
    peak: float  # MB

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of CPU), {self.peak:.0f} MB"


def cost_of(*arguments: str) -> Cost:
    """Return the cost of a command of slbench, start-up included."""
    return cost_of_python("-m", "slbench", *arguments)


def cost_of_python(*arguments: str) -> Cost:
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{arguments}: exit code {process.returncode}"
    wall = time.perf_counter() - began
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * KILOBYTES / 1e6)


def one_worker(folder: Path, count: int) -> None:
    """Print what one worker costs, then what reading its store costs."""
    study, root = study_of(folder, count), folder / f"store-{count}"
    print(f"{count:>6,} runs: plan {cost_of('run-grid', str(study), '--store', str(root), '--plan')}", flush=True)
    runs = load_study(study).runs
    before = time.process_time()
    with file_operations() as operations:
        results = in_threads(runs, root, 1)
        total = operations.total
    spent = time.process_time() - before
    check_once(runs, results)
    print(
        f"{count:>6,} runs, one worker: {count / results[0].seconds:.0f} runs/s, {1000 * spent / count:.2f} ms of CPU "
        f"and {total / count:.1f} file operations a run",
        flush=True,
    )
    files, tables = (str(study), "--store", str(root)), ("--format", "md,csv")
    costs: dict[str, Callable[[], Cost]] = {
        "status": lambda: cost_of("status", *files),
        "report without figures": lambda: cost_of("report", *files, *tables, "--figures", "none"),
        "report": lambda: cost_of("report", *files, *tables),
        "load_runs": lambda: cost_of_python("-c", f"import slbench; slbench.load_runs({str(root)!r})"),
    }
    for name, cost in costs.items():
        print(f"{count:>6,} runs: {name} {cost()}", flush=True)


def contention(folder: Path, count: int, workers: int, *, kind: str) -> None:
    """Print what several workers cost each other."""
    root = folder / f"{kind}-{count}"
    runs = load_study(study_of(folder, count)).runs
    with file_operations() as operations:
        before = time.process_time()
        began = time.perf_counter()
        results = (in_threads if kind == "simulated" else in_processes)(runs, root, workers)
        wall = time.perf_counter() - began
        total, spent = operations.total, time.process_time() - before
    check_once(runs, results)
    lost, seen = sum(result.lost for result in results), sum(result.seen for result in results)
    if kind == "simulated":
        costs = f", {total / count:.0f} file operations and {1000 * spent / count:.1f} ms of CPU a run"
    else:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs = f", {1000 * (children.ru_utime + children.ru_stime) / count:.1f} ms of CPU a run"
    shares = sorted(sum(result.finished.values()) for result in results)
    print(
        f"{count:>6,} runs, {workers} {kind} workers: {count / wall:.0f} runs/s{costs}; {lost / count:.2f} attempts "
        f"lost a run; {100 * seen / count / workers:.0f} % of the runs met by a worker as ended by others; "
        f"{shares[0]} to {shares[-1]} runs a worker",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    thousands = "multiples of 1,000"
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help=f"runs of one worker, {thousands}")
    parser.add_argument("--shared", type=int, default=SIZES[0], help=f"runs that several workers share, {thousands}")
    parser.add_argument("--processes", type=int, default=50, help="workers that are processes")
    parser.add_argument("--simulated", type=int, default=500, help="workers that are threads of one process")
    chosen = parser.parse_args()
    host = machine.host()
    print(
        f"{host.cpu}, {host.cores} cores, Python {platform.python_version()}, slbench {__version__}, n = 1", flush=True
    )
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        for count in chosen.sizes:
            one_worker(Path(name), count)
        if chosen.processes:
            contention(Path(name), chosen.shared, chosen.processes, kind="real")
        if chosen.simulated:
            contention(Path(name), chosen.shared, chosen.simulated, kind="simulated")


if __name__ == "__main__":
    main()
