"""`slbench work`."""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from slbench.cli import options
from slbench.cli.grid import interrupt, say, say_notes
from slbench.cli.printing import print_json
from slbench.cli.status import as_document, causes, counts, rule_lines
from slbench.cli.terminal import Terminal
from slbench.cli.views import log_line, make_view
from slbench.data import DataConfig
from slbench.errors import InputError
from slbench.grid.adaptive_seeds import with_adaptive_seeds
from slbench.grid.code_versions import join_study
from slbench.grid.events import Event, GridStopped, JobPruned, Limit, Started
from slbench.grid.executor import Limits
from slbench.grid.launch import Outcome, PreparedGrid, launch_jobs, prepare
from slbench.grid.queue import Policy
from slbench.grid.shared_queue import SharedQueue
from slbench.grid.shared_work import train_queue
from slbench.grid.status import GridStatus
from slbench.grid.time_left import TimeLeft
from slbench.store import Store
from slbench.study import Flags, load_study
from slbench.text import plural

if TYPE_CHECKING:
    from slbench.engines.worker import EngineWorker

LIMITS = "Limits"
STOP_SIGNALS: Mapping[int, Limit] = {signal.SIGTERM: "terminated", signal.SIGUSR1: "time limit"}  # checkpoint and stop


def work(
    study: Annotated[
        Path,
        typer.Argument(
            help="Study file, name of a shipped study, or queue of a search.", metavar="STUDY", show_default=False
        ),
    ],
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: B006
    data_root: options.DataRoot = None,
    stream: options.Stream = False,
    log_to: options.LogTo = None,
    tensorboard: options.TensorBoard = None,
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    jobs_per_device: options.JobsPerDevice = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait for runs claimed elsewhere, and take them over if their owner dies.",
            rich_help_panel=LIMITS,
        ),
    ] = False,
    idle_timeout: Annotated[
        str | None,
        typer.Option(
            "--idle-timeout",
            help="With --wait: end after this time in which no run could start.",
            metavar="TIME",
            show_default=False,
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_runs: Annotated[
        int | None,
        typer.Option(
            "--max-runs", help="Start at most N runs.", min=1, metavar="N", show_default=False, rich_help_panel=LIMITS
        ),
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option(
            "--max-time",
            help="Stop at a checkpoint after this time: 90, 90s, 30m, 2h, 1d.",
            metavar="TIME",
            show_default=False,
            rich_help_panel=LIMITS,
        ),
    ] = None,
    on_mismatch: options.OnMismatch = "restart",
    allow_mixed: options.AllowMixed = False,
    retries: options.Retries = 0,
    timeout: options.Timeout = None,
    fail_fast: options.FailFast = False,
    max_failures: options.MaxFailures = None,
    retry_diverged: options.RetryDiverged = False,
    as_json: options.Json = False,
    submission: Annotated[Path | None, typer.Option("--submission", hidden=True)] = None,
    task: Annotated[int | None, typer.Option("--task", hidden=True)] = None,
) -> None:
    """Claim and train runs of a study until none is left to claim.

    Any number of workers may share a store; each run is trained once. With a seed rule a worker also waits while
    an undecided comparison needs runs that other workers have claimed. At SIGTERM and SIGUSR1 it stops at checkpoints.
    Exits with 0 unless a run failed here or the disk is full, also when a limit or another worker's claims leave runs
    undone; with 130 after a signal.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)
    if idle_timeout is not None and not wait:
        raise InputError("--idle-timeout: needs --wait; without it a worker does not wait for runs")
    policy = Policy(
        retries=retries,
        timeout=options.seconds_of(timeout),
        fail_fast=fail_fast,
        max_failures=max_failures,
        max_runs=max_runs,
        on_mismatch=on_mismatch,
    )
    limits = Limits(
        wait=lambda: wait,
        idle_seconds=options.seconds_of(idle_timeout, flag="--idle-timeout"),
        max_seconds=options.seconds_of(max_time, flag="--max-time"),
        signals=STOP_SIGNALS,
    )
    tracking = options.tracking_in(log_to, tensorboard, store)
    with contextlib.nullcontext() if submission is None else engine_worker(submission, task) as engine:
        results, console, data = (
            Store(store),
            Terminal(stderr=as_json),
            DataConfig.read(data_root, stream=stream, runs_plugins=True),
        )
        results.check(writing=True)
        queue = SharedQueue(study, results) if study.is_dir() else None
        if queue is not None:
            chosen = queue.study()
        else:
            folder = None if engine is None else engine.study_folder
            chosen = load_study(study, Flags(data=data, plugins=plugin), folder=folder)
        if engine is not None:
            engine.check_runs(chosen)
        note = join_study(chosen.name, results, allow_mixed=allow_mixed)
        if retry_diverged:
            results.retry_diverged(run.spec for run in with_adaptive_seeds(chosen, results).runs)
        chosen = with_adaptive_seeds(chosen, results)
        grid = prepare(
            chosen.runs, results, devices=devices, jobs_per_device=options.jobs_of(jobs_per_device), threads=threads,
            writing=True, with_data=True,
        )  # fmt: skip
        if note is not None:
            say(console, f"note: {note}")
        if engine is not None:
            say(
                console,
                f"worker {engine.job_id}_{engine.task} on {engine.attempt.hostname}, {engine.attempt.started_at}",
            )
        say_notes(console, chosen, results, more=grid.notes)
        grid = grid if queue is None else dataclasses.replace(grid, runs=())
        view = make_view(console, grid.todo) if queue is None else queue_view(console)
        with noting(view, grid, engine, limits=limits) as (see, limits):
            if queue is not None:
                outcome = train_queue(queue, grid, policy=policy, limits=limits, on_event=see)
            else:
                outcome = launch_jobs(grid, policy=policy, on_event=see, tracking=tracking, study=chosen, limits=limits)
        ended = with_adaptive_seeds(chosen, results)
        standing = GridStatus.of(ended.runs, results)
        is_left = bool({"missing", "paused", "pruned"} & set(standing.states.values()))
        if queue is not None:
            is_left = not queue.is_closed
        else:
            for text in [*causes(standing), *rule_lines(chosen, standing), counts(chosen, standing.states)]:
                say(console, text)
        if engine is not None:
            for number in STOP_SIGNALS:  # which requeueing sends
                signal.signal(number, signal.SIG_IGN)
            say(console, end_attempt(engine, outcome, is_left=is_left))
        if as_json:
            worker = {"failed": outcome.failed, "limit": outcome.limit or None, "reason": outcome.reason or None}
            print_json({**as_document(ended, standing), "worker": worker})
    if outcome.limit in STOP_SIGNALS.values() and engine is None:
        raise KeyboardInterrupt
    if outcome.failed or outcome.stopped:
        raise typer.Exit(1)


def engine_worker(folder: Path, task: int | None) -> "EngineWorker":
    """Return what records this process as a worker of a submission."""
    from slbench.engines.worker import EngineWorker

    worker = EngineWorker(folder, task=task)
    worker.end_with_parent()
    return worker


@contextlib.contextmanager
def noting(
    view: contextlib.AbstractContextManager[Callable[[Event], None]],
    grid: PreparedGrid,
    engine: "EngineWorker | None",
    *,
    limits: Limits,
) -> Iterator[tuple[Callable[[Event], None], Limits]]:
    """Yield what shows and records events, and the limits with those of the engine's allocation, if there is one."""
    listeners = list[Callable[[Event], None]]()
    if engine is not None:
        listeners.append(engine.see)
        if (seconds := engine.seconds) is not None:
            left = TimeLeft(seconds, store=grid.store, slots=grid.slots, precisions=grid.precisions)
            listeners.append(left.see)
            limits = dataclasses.replace(limits, holds=left.holds)
    with view as show:

        def see(event: Event) -> None:
            show(event)
            for listener in listeners:
                listener(event)

        yield see, limits


@contextlib.contextmanager
def queue_view(console: Console) -> Iterator[Callable[[Event], None]]:
    """Yield what prints a line for each start and end of a run, whose number is not known beforehand."""

    def show(event: Event) -> None:
        if isinstance(event, Started):
            say(console, f"start   {event.run.title} on {event.slot.device.label}, slot {event.slot.index}")
        elif isinstance(event, JobPruned):
            say(console, f"pruned  {event.run.title}: {event.pruned.reason}")
        elif (line := log_line(event)) is not None and not (isinstance(event, GridStopped) and event.limit == "claims"):
            say(console, line)

    yield show


def end_attempt(engine: "EngineWorker", outcome: Outcome, *, is_left: bool) -> str:
    """Record how a worker of an engine ends; requeue it if its time is over and runs are left; return a line on it."""
    from slbench.engines.worker import ENDS

    failed = f"{plural(outcome.failed, 'run')} failed" if outcome.failed else ""
    end = "failed" if outcome.stopped else ENDS.get(outcome.limit, "no work")
    engine.end(end, message=outcome.reason if outcome.stopped else failed)
    requeued = f"; {engine.requeue()}" if end == "time limit" and is_left else ""
    return f"worker {engine.job_id}_{engine.task} ended: {end}{requeued}"
