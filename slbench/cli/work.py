"""`slbench work`."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from slbench.cli import options
from slbench.cli.grid import interrupt, say, say_notes
from slbench.cli.status import causes, counts, rule_lines
from slbench.cli.terminal import Terminal
from slbench.cli.views import make_view
from slbench.data import DataConfig
from slbench.grid.adaptive_seeds import with_adaptive_seeds
from slbench.grid.launch import launch_jobs, prepare
from slbench.grid.queue import Policy
from slbench.grid.status import GridStatus
from slbench.store import Store
from slbench.study import Flags, load_study

LIMITS = "Limits"


def work(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).", metavar="STUDY", show_default=False)],
    store: options.StoreFolder = options.RESULTS,
    data_root: options.DataRoot = None,
    stream: options.Stream = False,
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
    retries: options.Retries = 0,
    timeout: options.Timeout = None,
    fail_fast: options.FailFast = False,
    max_failures: options.MaxFailures = None,
    retry_diverged: options.RetryDiverged = False,
) -> None:
    """Claim and train runs of a study until none is left to claim.

    Any number of workers may share a store; each run is trained once. With a seed rule a worker also waits while
    an undecided comparison needs runs that other workers have claimed. Exits with 0 unless a run failed here or the
    disk is full, also when a limit or another worker's claims leave runs undone.
    """
    board = options.board_in(tensorboard)
    chosen = load_study(study, Flags(data=DataConfig.read(data_root, stream=stream)))
    results, console = Store(store), Terminal()
    policy = Policy(
        retries=retries,
        timeout=options.seconds_of(timeout),
        fail_fast=fail_fast,
        max_failures=max_failures,
        max_runs=max_runs,
    )
    max_seconds = options.seconds_of(max_time, flag="--max-time")
    results.check(writing=True)
    if retry_diverged:
        results.retry_diverged(run.spec for run in with_adaptive_seeds(chosen, results).runs)
    chosen = with_adaptive_seeds(chosen, results)
    grid = prepare(
        chosen.runs, results, devices=devices, jobs_per_device=options.jobs_of(jobs_per_device), threads=threads,
        writing=True, with_data=True,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, interrupt)
    say_notes(console, chosen, results)
    with make_view(console, grid.todo) as view:
        outcome = launch_jobs(
            grid, policy=policy, on_event=view, tensorboard=board, study=chosen, wait=wait, max_seconds=max_seconds
        )
    chosen = with_adaptive_seeds(chosen, results)
    standing = GridStatus.of(chosen.runs, results)
    for text in [*causes(standing), *rule_lines(chosen, standing), counts(chosen, standing.states)]:
        say(console, text)
    if outcome.failed or outcome.stopped:
        raise typer.Exit(1)
