"""`slbench submit`, `slbench cancel`: workers of a study on a cluster."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from slbench.cli import options
from slbench.data import DataConfig, check_available
from slbench.engine_settings import Engine, slurm_settings
from slbench.errors import InputError
from slbench.grid.adaptive_seeds import with_adaptive_seeds
from slbench.grid.code_versions import join_study
from slbench.store import Store
from slbench.study import Flags, load_study
from slbench.text import choices, plural

WORKER, SUBMISSION = "Each worker", "Submission"
StudyFile = Annotated[Path, typer.Argument(help="Study file (TOML).", metavar="STUDY", show_default=False)]
EngineName = Annotated[Engine, typer.Option("--engine", help="What starts the workers.", rich_help_panel=SUBMISSION)]


def of_sbatch(flag: str, about: str) -> Any:
    """Return an option for a setting of sbatch."""
    return typer.Option(flag, help=about, show_default=False, rich_help_panel=WORKER)


def submit(
    study: StudyFile,
    engine: EngineName = "slurm",
    store: options.StoreFolder = options.RESULTS,
    data_root: options.DataRoot = None,
    stream: options.Stream = False,
    workers: Annotated[
        int,
        typer.Option("--workers", help="Workers to have in total.", min=1, max=100_000, rich_help_panel=SUBMISSION),
    ] = 1,
    max_parallel: Annotated[
        int | None,
        typer.Option(
            "--max-parallel",
            help="Run at most N of the submitted workers at once.",
            min=1,
            metavar="N",
            show_default=False,
            rich_help_panel=SUBMISSION,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the job script; change nothing.", rich_help_panel=SUBMISSION)
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Submit although the last workers failed to start.", rich_help_panel=SUBMISSION),
    ] = False,
    partition: Annotated[str | None, of_sbatch("--partition", "As of sbatch.")] = None,
    account: Annotated[str | None, of_sbatch("--account", "As of sbatch.")] = None,
    qos: Annotated[str | None, of_sbatch("--qos", "As of sbatch.")] = None,
    constraint: Annotated[str | None, of_sbatch("--constraint", "As of sbatch: features of nodes.")] = None,
    exclude: Annotated[str | None, of_sbatch("--exclude", "As of sbatch: nodes not to use.")] = None,
    time: Annotated[str | None, of_sbatch("--time", "As of sbatch: time limit, such as 4:00:00.")] = None,
    gpus_per_node: Annotated[str | None, of_sbatch("--gpus-per-node", "As of sbatch: GPUs.")] = None,
    cpus_per_task: Annotated[int | None, of_sbatch("--cpus-per-task", "As of sbatch: CPUs.")] = None,
    mem: Annotated[str | None, of_sbatch("--mem", "As of sbatch: memory, such as 32G.")] = None,
    sbatch: Annotated[
        list[str],
        typer.Option(
            "--sbatch",
            help="Any other long option of sbatch: --sbatch nodelist=n1.",
            metavar="NAME[=VALUE]",
            rich_help_panel=WORKER,
        ),
    ] = [],  # noqa: B006  (typer reads it once)
    threads: Annotated[int | None, of_sbatch("--threads", "CPU threads per job.")] = None,
    jobs_per_device: Annotated[int | None, of_sbatch("--jobs-per-device", "Concurrent jobs per device.")] = None,
    on_mismatch: options.OnMismatch = "restart",
    allow_mixed: options.AllowMixed = False,
    retries: options.Retries = 0,
) -> None:
    """Submit workers of a study to a cluster, as many as are missing.

    The workers are `slbench work` on the store, which must be a folder that all nodes share. A second call adds only
    workers that are missing. Settings come from flags, from [engine.slurm] of the study, and from the user's
    engines.toml, in this order.
    """
    from slbench.engines.submission import Submission, digest_of
    from slbench.engines.submit import Request, script_of
    from slbench.engines.submit import submit as submit_request

    data = DataConfig.read(data_root, stream=stream, runs_plugins=True)
    chosen = load_study(study, Flags(data=data))
    results = Store(store)
    flags = {
        "partition": partition, "account": account, "qos": qos, "constraint": constraint, "exclude": exclude,
        "time": time, "gpus_per_node": number(gpus_per_node), "cpus_per_task": cpus_per_task, "mem": mem,
        "threads": threads, "jobs_per_device": jobs_per_device, "options": further(sbatch) or None,
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None}
    results.check(writing=not dry_run)
    digest, chosen = digest_of(chosen), with_adaptive_seeds(chosen, results)
    request = Request(
        study=study,
        name=chosen.name,
        runs=chosen.runs,
        digest=digest,
        store=results,
        settings=slurm_settings(chosen.engines, given, where=str(study)),
        workers=workers,
        max_parallel=max_parallel,
        more=arguments(data_root, stream=stream, on_mismatch=on_mismatch, allow_mixed=allow_mixed, retries=retries),
        force=force,
    )
    if dry_run:
        planned = Submission.create(
            chosen.name, engine=engine, workers=workers, settings=request.settings, study_folder=study.parent
        )
        print(script_of(request, planned), end="")
        return
    for spec, source in dict.fromkeys((run.spec.dataset, run.data) for run in chosen.runs):
        check_available(spec, source)
    note = join_study(chosen.name, results, allow_mixed=allow_mixed)
    if note is not None:
        print(f"note: {note}")
    outcome = submit_request(request)
    if outcome.submission is None:
        print(f"nothing to submit: {plural(outcome.active, 'worker')} active, {plural(outcome.left, 'run')} left")
        return
    beside = f" beside {plural(outcome.active, 'active one')}" if outcome.active else ""
    print(
        f"submitted {plural(outcome.submission.workers, 'worker')}{beside} as job {outcome.submission.job_id} "
        f"({outcome.submission.name}) for {plural(outcome.left, 'run')}\n"
        f"script: {outcome.script}\n"
        f"watch:  {shlex.join(['slbench', 'status', str(study), '--store', str(store)])}"
    )


def arguments(
    data_root: Path | None, *, stream: bool, on_mismatch: str, allow_mixed: bool, retries: int
) -> tuple[str, ...]:
    """Return the arguments that a worker gets as they were given here."""
    given = {
        "--data-root": None if data_root is None else str(data_root.expanduser().absolute()),
        "--on-mismatch": on_mismatch,
        "--retries": str(retries) if retries else None,
    }
    flags = [name for name, value in {"--stream": stream, "--allow-mixed": allow_mixed}.items() if value]
    return (*(part for name, value in given.items() if value is not None for part in (name, value)), *flags)


def number(text: str | None) -> int | str | None:
    """Return "2" as a number; other texts ("a100:2") as they are."""
    return int(text) if text is not None and text.isdecimal() else text


def further(values: list[str]) -> dict[str, Any]:
    """Return the options of `--sbatch name=value`; a name alone is an option without a value."""
    parts = (value.partition("=") for value in values)
    return {name.strip().lstrip("-"): value if equals else True for name, equals, value in parts}


def cancel(
    study: StudyFile,
    store: options.StoreFolder = options.RESULTS,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            help="Cancel N workers, waiting ones first. [default: all]",
            min=1,
            metavar="N",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Cancel workers of a study on a cluster.

    Running workers stop at a checkpoint; the next worker continues their runs.
    """
    from slbench.engines.submission import submissions
    from slbench.engines.submit import cancel as cancel_workers

    results, name = Store(store), study.stem
    results.check(writing=True)
    if not submissions(results, name):
        known = sorted({each.study for each, _ in submissions(results)})
        raise InputError(f"{store}: no workers were submitted for study '{name}'{choices(known, name)}")
    targets = cancel_workers(results, name, workers=workers)
    print(f"cancelled {plural(len(targets), 'worker')}{': ' if targets else ''}{', '.join(targets)}")
