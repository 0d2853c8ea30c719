"""`slbench tune-temperature`."""

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from slbench.backbones import BACKBONES
from slbench.backbones.specs import is_foreign
from slbench.cli import options
from slbench.cli.grid import interrupt, say
from slbench.cli.printing import print_json
from slbench.cli.search_workers import ClusterSearch
from slbench.cli.submit import RayAddress, arguments
from slbench.cli.terminal import Terminal
from slbench.cli.tune_views import make_view
from slbench.data import DEFAULT_DATASET, DataConfig
from slbench.engine_settings import Engine
from slbench.errors import InputError
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import Policy
from slbench.names import lookup
from slbench.store import Store
from slbench.text import hide_password, plural, shown
from slbench.tuning.record import SearchRecord, folder_of
from slbench.tuning.run import PreparedSearch, prepare_tuning, run_tuning
from slbench.tuning.search import MAX_SEEDS, MAX_TRIALS, SearchConfig
from slbench.tuning.search_file import NOTHING, load_search_file, space_of
from slbench.tuning.strategy import DEFAULT_PRUNER, DEFAULT_SAMPLER, MAX_SAMPLER_SEED, PRUNERS, SAMPLERS
from slbench.tuning.target import TuningTarget

SEARCH, ENGINE = "Search", "Cluster"


def tune_temperature(
    backbone: Annotated[str, typer.Option("--backbone", help="Backbone.", rich_help_panel=options.GRID)] = "vit",
    dataset: Annotated[
        str,
        typer.Option("--dataset", help="Data set, or your own: npz:PATH, folder:PATH.", rich_help_panel=options.GRID),
    ] = DEFAULT_DATASET,
    method: Annotated[
        list[str],
        typer.Option(
            "--method",
            help="Methods to tune, each with the same number of trials. [default: both]",
            rich_help_panel=options.GRID,
        ),
    ] = [],  # noqa: B006
    trials: Annotated[
        int,
        typer.Option("--trials", help="Trials per method.", min=1, max=MAX_TRIALS, metavar="N", rich_help_panel=SEARCH),
    ] = 20,
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--timeout",
            help="Start no trial after this time: 90, 30m, 2h.",
            metavar="TIME",
            show_default=False,
            rich_help_panel=SEARCH,
        ),
    ] = None,
    seeds_per_trial: Annotated[
        int,
        typer.Option(
            "--seeds-per-trial",
            help="Seeds averaged in each trial.",
            min=1,
            max=MAX_SEEDS,
            metavar="K",
            rich_help_panel=SEARCH,
        ),
    ] = 3,
    search: Annotated[
        Path | None,
        typer.Option(
            "--search",
            help="TOML file with the parameters to search.",
            metavar="FILE",
            show_default=False,
            rich_help_panel=SEARCH,
        ),
    ] = None,
    with_lr: Annotated[
        bool, typer.Option("--with-lr", help="Also search the learning rate.", rich_help_panel=SEARCH)
    ] = False,
    sampler: Annotated[
        str, typer.Option("--sampler", help="Optuna sampler: tpe, gp, random or grid.", rich_help_panel=SEARCH)
    ] = DEFAULT_SAMPLER,
    pruner: Annotated[
        str, typer.Option("--pruner", help="Optuna pruner: hyperband, median or none.", rich_help_panel=SEARCH)
    ] = DEFAULT_PRUNER,
    sampler_seed: Annotated[
        int,
        typer.Option(
            "--sampler-seed", help="Seed of the sampler.", min=0, max=MAX_SAMPLER_SEED, rich_help_panel=SEARCH
        ),
    ] = 0,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            help="Optuna storage: sqlite:///FILE, postgresql://..., mysql://..., grpc://HOST:PORT. "
            "[default: a journal in the store]",
            metavar="URL",
            show_default=False,
            rich_help_panel=SEARCH,
        ),
    ] = None,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Resume a search whose owner process is dead.", rich_help_panel=SEARCH),
    ] = False,
    compare_seeds: Annotated[
        int,
        typer.Option(
            "--compare-seeds",
            help="Fresh seeds of the comparison after the search; 0: no comparison.",
            min=0,
            max=MAX_SEEDS,
            metavar="N",
            rich_help_panel=SEARCH,
        ),
    ] = 3,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Name of the search. [default: BACKBONE-DATASET]", show_default=False, rich_help_panel=SEARCH
        ),
    ] = None,
    recipe: options.RecipeName = None,
    protocol: options.ProtocolName = None,
    changes: options.Changes = [],  # noqa: B006
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.Lr = None,
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: B006
    data_root: options.DataRoot = None,
    stream: options.Stream = False,
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    jobs_per_device: options.JobsPerDevice = None,
    retries: options.Retries = 0,
    max_failures: options.MaxFailures = 3,
    engine: Annotated[
        Engine | None,
        typer.Option(
            "--engine",
            help="Train on a cluster: this process asks and tells, workers of slurm or ray train. [default: here]",
            show_default=False,
            rich_help_panel=ENGINE,
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", help="With --engine: workers to have.", min=1, rich_help_panel=ENGINE)
    ] = 1,
    ray_address: RayAddress = None,
    as_json: options.Json = False,
) -> None:
    """Search the initial temperature and the shift by validation accuracy.

    With --engine, workers are submitted with the settings of the user's engines.toml. The command may be interrupted:
    the same one resumes, from another machine too.
    """
    if engine is None and (workers > 1 or ray_address):
        raise InputError(f"--{'workers' if workers > 1 else 'ray-address'}: needs --engine slurm or --engine ray")
    if engine is not None and devices != "auto":
        raise InputError(f"--devices: has no meaning with --engine {engine}; leave it out")
    data = DataConfig.read(data_root, stream=stream, runs_plugins=True)
    check_protocol(protocol, changes)
    flags = {"recipe.epochs": epochs, "recipe.batch_size": batch_size, "recipe.lr": lr}
    settings = {path: value for path, value in flags.items() if value is not None} | options.parsed(changes)
    targets = [
        TuningTarget(backbone, dataset, name, recipe or "quick", settings, data, tuple(plugin))
        for name in options.split(method, "--method") or ["both"]
    ]
    if len({target.method for target in targets}) < len(targets):
        raise InputError(f"--method: names a method twice (got {', '.join(target.method for target in targets)})")
    file = NOTHING if search is None else load_search_file(search)
    spaces = [space_of(target, file, with_lr=with_lr, alone=len(targets) == 1) for target in targets]
    label = targets[0].runs({}, seeds=[0])[0].labels
    config = SearchConfig(
        name=f"{label.backbone if is_foreign(backbone) else backbone}-{label.dataset}" if name is None else name,
        trials=trials,
        seeds=seeds_per_trial,
        sampler=lookup(SAMPLERS, sampler, "sampler", where="--sampler"),
        pruner=lookup(PRUNERS, pruner, "pruner", where="--pruner"),
        seed=sampler_seed,
    )
    jobs = options.jobs_of(jobs_per_device)
    elsewhere = None
    if engine is not None:
        more = arguments(data_root, stream=stream, on_mismatch="restart", allow_mixed=False, retries=retries)
        elsewhere = ClusterSearch(
            config.name,
            Store(store),
            engine,
            workers=workers,
            address=ray_address,
            jobs=jobs,
            threads=threads,
            more=more,
        )
    tuning = prepare_tuning(
        config,
        targets,
        spaces,
        Store(store),
        devices=devices if elsewhere is None else "cpu",
        jobs_per_device=jobs if elsewhere is None else 1,
        threads=threads,
        storage=storage,
        policy=Policy(retries=retries, max_failures=max_failures),
        compare_seeds=compare_seeds,
        seconds=options.seconds_of(time_limit),
        command=command_line(),
        take_over=take_over,
        executor=LocalExecutor if elsewhere is None else elsewhere.make_executor,
        capacity=None if elsewhere is None else elsewhere.capacity,
    )
    signal.signal(signal.SIGTERM, interrupt)
    console = Terminal(stderr=as_json)
    for line in opening(tuning):
        say(console, line)
    cluster = None if elsewhere is None else elsewhere.opened(tuning.grid.runs)
    with make_view(console, tuning) as view:
        record, is_whole = run_tuning(tuning, on_event=view, workers=cluster)
    if as_json:
        print_json(record.model_dump(mode="json"))
    else:
        for line in outcome(record, store):
            say(console, line)
    if not is_whole:
        raise typer.Exit(1)


def check_protocol(protocol: str | None, changes: list[str]) -> None:
    """Raise InputError unless the protocol has validation images to choose by."""
    name = protocol or options.parsed(changes).pop("protocol", None)
    if name not in (None, "holdout"):
        raise InputError(
            f"--protocol: validation images are needed, which others lack (got {shown(name)}); allowed: holdout"
        )


def command_line() -> str:
    """Return the command line, without passwords of storage URLs."""
    return shlex.join(["slbench", *map(hide_password, sys.argv[1:])])


def opening(tuning: PreparedSearch) -> list[str]:
    """Return the lines that describe the search."""
    config, run = tuning.config, tuning.grid.runs[0]
    seeds = plural(config.seeds, "seed")
    lines = [
        f"search {config.name}: {plural(config.trials, 'trial')} of {seeds} "
        f"of {plural(run.spec.recipe.epochs, 'epoch')}, "
        f"sampler {config.sampler}, pruner {config.pruner}; "
        f"objective: accuracy on {run.spec.dataset.num_validation:,} validation images"
    ]
    lines.append(cost_line(tuning))
    for target, space in zip(tuning.targets, tuning.spaces, strict=True):
        lines += [f"        {target.method}: {parameter.description}" for parameter in space.parameters]
        if space.size is not None and space.size < config.trials:
            lines.append(f"note: '{target.method}' has only {plural(space.size, 'setting')}: that many trials")
        lines += [f"note: {note}" for note in space.notes]
    return lines


def cost_line(tuning: PreparedSearch) -> str:
    """Return the cost of a trial, by the default settings, and how to make it smaller on a processor."""
    from slbench.measure.compute_budget import total

    runs, trials = tuning.grid.runs, tuning.config.trials
    work = total(run.spec for run in runs)
    each = f"a trial{'' if len(tuning.targets) == 1 else ' of each method'}"
    line = (
        f"cost: {each} trains on {work.images:,} images, {work.macs:.3g} multiply-adds; "
        f"{plural(trials, 'trial')}: {trials * work.macs:.3g}"
    )
    changed = any(path.startswith("backbone.") for target in tuning.targets for path in target.changes)
    is_published = runs[0].spec.backbone.name in BACKBONES and not changed
    if is_published and all(slot.device.kind == "cpu" for slot in tuning.grid.slots):
        line += "; the backbone has its published size, a smaller one is faster: --set backbone.depth=4"
    return line


def outcome(record: SearchRecord, store: Path) -> list[str]:
    """Return the result of a search in a few lines."""
    from slbench.tuning.summary import between_lines, winner_words

    lines = []
    for row in record.rows:
        best, baseline = row.trial(row.winner), row.baseline
        if best is None or baseline is None:
            lines.append(f"{row.title}: no complete trial")
            continue
        lines.append(f"{row.title}: {winner_words(best, baseline)}")
        if row.comparison is not None:
            verdict = "" if row.comparison.difference is None else f"{row.comparison.verdict}: "
            lines.append(f"{row.title}: {verdict}{row.comparison.words}")
    lines += [line.replace("**", "") for line in between_lines(record)]
    return [*lines, f"written to {folder_of(Store(store), record.name)}: summary.md, trials.csv, figures, best.toml"]
