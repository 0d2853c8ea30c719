"""`slbench run-grid`, `slbench train`."""

import signal
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from slbench import machine
from slbench.cli import options
from slbench.cli.plan import check_plan_flags, compared, plan_document, plan_lines
from slbench.cli.printing import print_json
from slbench.cli.status import as_document, causes, counts, line, rule_lines
from slbench.cli.terminal import Terminal
from slbench.cli.views import make_view
from slbench.data import DataConfig, check_available, rehash
from slbench.errors import InputError
from slbench.grid.adaptive_seeds import with_adaptive_seeds
from slbench.grid.estimate import ProbeResults, kinds_of, load_probes, save_probes
from slbench.grid.foreground import train_in_foreground
from slbench.grid.launch import (
    PreparedGrid,
    cost_of,
    known_probes,
    launch_jobs,
    measure_speeds,
    prepare,
    probe_grid,
    with_best_concurrency,
)
from slbench.grid.model_check import check_models_of
from slbench.grid.queue import Policy
from slbench.grid.set_aside import SetAside, comparison_line, set_aside
from slbench.grid.status import GridStatus
from slbench.store import ENDED, Store
from slbench.study import Study
from slbench.text import plural
from slbench.train.progress import Progress

if TYPE_CHECKING:
    from slbench.train.tracking import Tracking


def run_grid(
    study: options.StudyPath = None,
    backbone: options.Backbones = [],  # noqa: B006  (typer reads it once)
    method: options.Methods = [],  # noqa: B006
    dataset: options.Datasets = [],  # noqa: B006
    seeds: options.Seeds = None,
    recipe: options.RecipeName = None,
    protocol: options.ProtocolName = None,
    changes: options.Changes = [],  # noqa: B006
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.Lr = None,
    weight_decay: options.WeightDecay = None,
    warmup_epochs: options.WarmupEpochs = None,
    drop_path: options.DropPath = None,
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: B006
    data_root: options.DataRoot = None,
    stream: options.Stream = False,
    log_to: options.LogTo = None,
    tensorboard: options.TensorBoard = None,
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    jobs_per_device: options.JobsPerDevice = None,
    retries: options.Retries = 0,
    timeout: options.Timeout = None,
    fail_fast: options.FailFast = False,
    max_failures: options.MaxFailures = None,
    retry_diverged: options.RetryDiverged = False,
    force: options.Force = False,
    plan: Annotated[
        bool, typer.Option("--plan", "--dry-run", help="Print the jobs, their state and cost; run none.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="With --plan: run each kind of job for a few seconds to estimate the time.")
    ] = False,
    speeds: Annotated[
        Path | None,
        typer.Option("--speeds", help="With --plan: use probe results measured on another machine.", metavar="FILE"),
    ] = None,
    save_speeds: Annotated[
        Path | None,
        typer.Option("--save-speeds", help="With --probe: write the probe results to FILE.", metavar="FILE"),
    ] = None,
    throughput: Annotated[bool, typer.Option(help="Measure images/s after training.")] = True,
    as_json: options.Json = False,
) -> None:
    """Run the missing runs of a study file or of a grid given by flags."""
    data = DataConfig.read(data_root, stream=stream, runs_plugins=True)
    tracking = options.tracking_in(log_to, tensorboard, store)
    chosen = options.study_of(
        study, backbone=backbone, method=method, dataset=dataset, seeds=None if seeds is None else range(seeds),
        recipe=recipe, protocol=protocol,
        changes=changes, epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay,
        warmup_epochs=warmup_epochs, drop_path=drop_path, data=data, plugins=plugin,
    )  # fmt: skip
    policy = Policy(
        retries=retries, timeout=options.seconds_of(timeout), fail_fast=fail_fast, max_failures=max_failures
    )
    check_plan_flags(plan=plan, probe=probe, speeds=speeds, save_speeds=save_speeds)
    results, console = Store(store), Terminal(stderr=as_json)
    others = [] if speeds is None else load_probes(speeds)
    results.check(writing=False)
    if retry_diverged and not plan:
        results.retry_diverged(run.spec for run in with_adaptive_seeds(chosen, results).runs)
    chosen = with_adaptive_seeds(chosen, results)
    again = list[SetAside]()
    if force and not plan:
        check_before_force(chosen, results, devices=devices, threads=threads)
        again = set_aside(chosen.runs, results)
    grid = prepare(
        chosen.runs, results, devices=devices, jobs_per_device=options.jobs_of(jobs_per_device), threads=threads,
        writing=not plan or probe, with_data=not plan, elsewhere=kinds_of(others),
    )  # fmt: skip
    probes = ProbeResults(results, machine_id=machine.host().machine_id, others=others)
    signal.signal(signal.SIGTERM, interrupt)
    if jobs_per_device == "auto" and grid.todo and speeds is None and (probe or not plan):
        grid = with_best_concurrency(grid, devices=devices, threads=threads, tell=lambda text: say(console, text))
    if plan:
        if probe:
            probe_grid(grid, probes, tell=lambda text: say(console, text))
        if save_speeds is not None:
            save_probes(save_speeds, known_probes(grid, probes))
        show_plan(console, chosen, grid, probes, as_json=as_json)
        if force and not as_json:
            ended = sum(state in ENDED for state in grid.states.values())
            say(console, f"--force: {plural(ended, 'ended run')} would be trained again, beside those to do")
    else:
        do_grid(console, chosen, grid, probes, policy=policy, throughput=throughput, tracking=tracking)
        for text in filter(None, (comparison_line(each, results) for each in again)):
            say(console, text)
        show_outcome(console, with_adaptive_seeds(chosen, results), results, as_json=as_json)


def check_before_force(study: Study, store: Store, *, devices: str, threads: int) -> None:
    """Check everything that could keep runs from being trained, before any of them is set aside."""
    store.check(writing=True)
    prepared = prepare(
        study.runs, store, devices=devices, jobs_per_device=None, threads=threads, writing=True, with_data=False
    )
    check_models_of(prepared.runs)
    for spec, data in dict.fromkeys((run.spec.dataset, run.data) for run in study.runs):
        check_available(spec, data)


def show_plan(console: Console, study: Study, grid: PreparedGrid, probes: ProbeResults, *, as_json: bool) -> None:
    """Print each run with its state, and the cost of the unfinished ones."""
    standing = GridStatus.of(study.runs, grid.store)
    cost = cost_of(grid, probes)
    if as_json:
        document = as_document(study, standing) | plan_document(grid, cost, standing, study=study)
        print_json(document | {"notes": [*study.notes, *grid.notes]})
        return
    say_notes(console, study, grid.store, more=grid.notes)
    texts = [*(line(run, standing) for run in study.runs), *plan_lines(grid, probes, cost, standing, study=study)]
    for text in [*texts, *rule_lines(study, standing), *causes(standing), counts(study, standing.states)]:
        say(console, text)


def do_grid(
    console: Console,
    study: Study,
    grid: PreparedGrid,
    probes: ProbeResults,
    *,
    policy: Policy,
    throughput: bool,
    tracking: "Tracking | None",
) -> None:
    """Run the unfinished runs and compare the time with the plan."""
    say_notes(console, study, grid.store, more=grid.notes)
    cost, began = cost_of(grid, probes), time.monotonic()
    with make_view(console, grid.todo) as view:
        outcome = launch_jobs(grid, policy=policy, on_event=view, tracking=tracking, study=study)
        took = time.monotonic() - began
        if throughput:
            measure_speeds(grid, on_event=view)
    if outcome.clean and cost is not None:
        say(console, compared(cost, took))


def show_outcome(console: Console, study: Study, store: Store, *, as_json: bool) -> None:
    """Print the outcome of a study's runs; exit code 1 unless all have ended."""
    standing = GridStatus.of(study.runs, store)
    if as_json:
        print_json(as_document(study, standing))
    else:
        for text in [*causes(standing), *rule_lines(study, standing), counts(study, standing.states)]:
            say(console, text)
    if any(state not in ENDED for state in standing.states.values()):
        raise typer.Exit(1)


def train(
    study: options.StudyPath = None,
    backbone: options.Backbones = [],  # noqa: B006
    method: options.Methods = [],  # noqa: B006
    dataset: options.Datasets = [],  # noqa: B006
    seed: Annotated[int, typer.Option("--seed", help="Seed of the run.", min=0, rich_help_panel=options.GRID)] = 0,
    recipe: options.RecipeName = None,
    protocol: options.ProtocolName = None,
    changes: options.Changes = [],  # noqa: B006
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.Lr = None,
    weight_decay: options.WeightDecay = None,
    warmup_epochs: options.WarmupEpochs = None,
    drop_path: options.DropPath = None,
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: B006
    data_root: options.DataRoot = None,
    stream: options.Stream = False,
    log_to: options.LogTo = None,
    tensorboard: options.TensorBoard = None,
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    retry_diverged: options.RetryDiverged = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Train one run in the foreground of this process, for a debugger.

    Uses the same code and writes the same record as a grid.
    """
    data = DataConfig.read(data_root, stream=stream, runs_plugins=True)
    tracking = options.tracking_in(log_to, tensorboard, store)
    chosen = options.study_of(
        study, backbone=backbone, method=method, dataset=dataset, seeds=[seed], recipe=recipe, protocol=protocol,
        changes=changes, epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay,
        warmup_epochs=warmup_epochs, drop_path=drop_path, data=data, plugins=plugin,
    )  # fmt: skip
    if len(chosen.runs) != 1:
        raise InputError(
            f"train: needs exactly one run (got {len(chosen.runs)}); select it with --backbone, --method, --dataset"
        )
    run = chosen.runs[0]
    results = Store(store)
    results.check(writing=True)
    console = Terminal(stderr=as_json)
    if retry_diverged:
        results.retry_diverged([run.spec])
    again = list[SetAside]()
    if force:
        check_before_force(chosen, results, devices=devices, threads=threads)
        again = set_aside([run], results)
    done = results.states([run.spec])[run.spec.run_id] == "done"
    record = results.record(run.spec.run_id) if done else None
    if record is None:
        check_available(run.spec.dataset, run.data)
        rehash(run.spec.dataset, run.data)
        say_notes(console, chosen, results)
        record = train_in_foreground(
            run, results, devices=devices, threads=threads, tracking=tracking,
            on_progress=lambda progress: say_epoch(console, progress),
        )  # fmt: skip
    else:
        say(console, f"already finished: {results.folder(record.spec, record.labels)}; --force trains it again")
    for text in filter(None, (comparison_line(each, results) for each in again)):
        say(console, text)
    if as_json:
        print(record.model_dump_json(indent=2))
    else:
        console.print(
            f"final test top-1 {record.final_test_top1:.2f} %, weights {record.weights_sha256[:12]}", highlight=False
        )


def say_epoch(console: Console, progress: Progress) -> None:
    """Print a line at the end of an epoch."""
    if progress.step % (progress.steps // progress.epochs) == 0:
        speed = f"{progress.images_per_second:.0f} images/s"
        say(console, f"epoch {progress.epoch}/{progress.epochs}: loss {progress.loss:.4f}, {speed}")


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Make SIGTERM stop a grid as Ctrl-C does: children first."""
    raise KeyboardInterrupt


def say_notes(console: Console, study: Study, store: Store, *, more: Iterable[str] = ()) -> None:
    """Print the notes of a study and more, and which finished runs lack the weights it asks for."""
    without = store.without_weights((run.spec, run.labels) for run in study.runs)
    notes = [*study.notes, *more]
    if without:
        count = plural(len(without), "finished run")
        notes.append(f"{count} without the requested weights (e.g. {without[0]}); delete the folder to retrain")
    for note in notes:
        say(console, f"note: {note}")


def say(console: Console, line: str) -> None:
    """Print a line as it is, without wrapping."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
