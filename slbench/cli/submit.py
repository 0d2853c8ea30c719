"""`slbench submit`, `slbench cancel`: workers of a study on a cluster."""

import os
import shlex
import signal
import sys
import time as time_module
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slbench.cli import options
from slbench.cli.grid import interrupt
from slbench.cli.printing import print_json
from slbench.data import DataConfig, check_available
from slbench.engine_settings import Engine, RaySettings, SlurmSettings, settings_of
from slbench.errors import InputError
from slbench.grid.adaptive_seeds import with_adaptive_seeds
from slbench.grid.code_versions import join_study
from slbench.store import Store
from slbench.study import Flags, load_study
from slbench.study.shipped import study_path
from slbench.text import choices, plural, shown

if TYPE_CHECKING:
    from slbench.engine_settings import EngineTables
    from slbench.engines.engine import Scheduler
    from slbench.engines.submit import Outcome, Request

POLL_SECONDS = 5.0  # between two looks at the workers of a cluster that this process keeps
WORKER, SUBMISSION = "Each worker", "Submission"
OF_RAY = ("ray_address", "num_cpus", "num_gpus", "resource")
OF_SLURM = (
    "max_parallel", "partition", "account", "qos", "constraint", "time", "gpus_per_node", "cpus_per_task", "mem",
    "sbatch",
)  # fmt: skip
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="Ray cluster to join, HOST:PORT. [default: $RAY_ADDRESS, else one on this machine for this command]",
        show_default=False,
        rich_help_panel=SUBMISSION,
    ),
]
StudyFile = Annotated[
    Path, typer.Argument(help="Study file, or the name of a shipped study.", metavar="STUDY", show_default=False)
]
EngineName = Annotated[Engine, typer.Option("--engine", help="What starts the workers.", rich_help_panel=SUBMISSION)]


def of_worker(flag: str, about: str) -> Any:
    """Return an option for a setting of workers."""
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
        typer.Option(
            "--force", help="Submit although workers failed to start, on any node.", rich_help_panel=SUBMISSION
        ),
    ] = False,
    partition: Annotated[str | None, of_worker("--partition", "As of sbatch.")] = None,
    account: Annotated[str | None, of_worker("--account", "As of sbatch.")] = None,
    qos: Annotated[str | None, of_worker("--qos", "As of sbatch.")] = None,
    constraint: Annotated[str | None, of_worker("--constraint", "As of sbatch: features of nodes.")] = None,
    exclude: Annotated[str | None, of_worker("--exclude", "Nodes not to use: n1,n2; for SLURM also n[1-3].")] = None,
    time: Annotated[str | None, of_worker("--time", "As of sbatch: time limit, such as 4:00:00.")] = None,
    gpus_per_node: Annotated[str | None, of_worker("--gpus-per-node", "As of sbatch: GPUs.")] = None,
    cpus_per_task: Annotated[int | None, of_worker("--cpus-per-task", "As of sbatch: CPUs.")] = None,
    mem: Annotated[str | None, of_worker("--mem", "As of sbatch: memory, such as 32G.")] = None,
    sbatch: Annotated[
        list[str],
        typer.Option(
            "--sbatch",
            help="Any other long option of sbatch: --sbatch nodelist=n1.",
            metavar="NAME[=VALUE]",
            rich_help_panel=WORKER,
        ),
    ] = [],  # noqa: B006  (typer reads it once)
    ray_address: RayAddress = None,
    num_cpus: Annotated[int | None, of_worker("--num-cpus", "As of Ray: CPUs. [default: 1]")] = None,
    num_gpus: Annotated[float | None, of_worker("--num-gpus", "As of Ray: GPUs, or a share of one: 0.5.")] = None,
    resource: Annotated[
        list[str],
        typer.Option(
            "--resource",
            help="As of Ray: a custom resource: --resource a100=1.",
            metavar="NAME=NUMBER",
            rich_help_panel=WORKER,
        ),
    ] = [],  # noqa: B006
    threads: Annotated[int | None, of_worker("--threads", "CPU threads per job.")] = None,
    jobs_per_device: Annotated[int | None, of_worker("--jobs-per-device", "Concurrent jobs per device.")] = None,
    on_mismatch: options.OnMismatch = "restart",
    allow_mixed: options.AllowMixed = False,
    retries: options.Retries = 0,
    as_json: options.Json = False,
) -> None:
    """Submit workers of a study to a cluster, as many as are missing.

    The workers are `slbench work` on the store, which must be a folder that all nodes share. A second call adds only
    workers that are missing. Settings come from flags, from [engine.slurm] of the study, and from the user's
    engines.toml, in this order.
    """
    from slbench.engines.submission import digest_of

    data = DataConfig.read(data_root, stream=stream, runs_plugins=True)
    study = study_path(study)
    chosen = load_study(study, Flags(data=data))
    results = Store(store)
    flags: dict[str, Any] = {
        "partition": partition, "account": account, "qos": qos, "constraint": constraint, "exclude": exclude,
        "time": time, "gpus_per_node": number(gpus_per_node), "cpus_per_task": cpus_per_task, "mem": mem,
        "threads": threads, "jobs_per_device": jobs_per_device, "sbatch": further(sbatch) or None,
        "ray_address": ray_address, "num_cpus": num_cpus, "num_gpus": num_gpus, "resource": amounts(resource) or None,
        "max_parallel": max_parallel,
    }  # fmt: skip
    settings = chosen_settings(engine, chosen.engines, flags, where=str(study))
    results.check(writing=True)
    from slbench.engines.submit import Request, planned, script_of
    from slbench.engines.submit import submit as submit_request

    digest, chosen = digest_of(chosen), with_adaptive_seeds(chosen, results)
    for spec, source in () if dry_run else dict.fromkeys((run.spec.dataset, run.data) for run in chosen.runs):
        check_available(spec, source)
    note = None if dry_run else join_study(chosen.name, results, allow_mixed=allow_mixed)
    if note is not None:
        print(f"note: {note}", file=sys.stderr if as_json else sys.stdout)
    with opened(engine, settings, dry_run=dry_run) as (scheduler, address):
        request = Request(
            study=study,
            name=chosen.name,
            runs=chosen.runs,
            digest=digest,
            store=results,
            scheduler=scheduler,
            settings=settings,
            workers=workers,
            max_parallel=max_parallel,
            more=arguments(data_root, stream=stream, on_mismatch=on_mismatch, allow_mixed=allow_mixed, retries=retries),
            force=force,
            address=address,
        )
        if dry_run:
            script = script_of(request, planned(request, workers=workers))
            if as_json:
                print_json({"study": chosen.name, "engine": engine, "script": script})
            else:
                print(script, end="")
            return
        outcome = submit_request(request)
        if as_json:
            print_json(outcome_document(outcome, chosen.name, engine))
        else:
            for line in outcome_lines(outcome, study, store):
                print(line, flush=True)
        if outcome.submission is not None and is_own_cluster(scheduler):
            message = "this command keeps the cluster; Ctrl-C stops its workers at a checkpoint"
            print(message, file=sys.stderr if as_json else sys.stdout, flush=True)
            wait_until_over(request)


def outcome_lines(outcome: "Outcome", study: Path, store: Path) -> Iterator[str]:
    """Yield what a request led to."""
    submission = outcome.submission
    if submission is None:
        yield f"nothing to submit: {plural(outcome.active, 'worker')} active, {plural(outcome.left, 'run')} left"
        return
    for node, why in outcome.left_out.items():
        yield f"note: left out: {node}: {why}; --force uses it, and so does --exclude with other nodes"
    beside = f" beside {plural(outcome.active, 'active one')}" if outcome.active else ""
    where = f" on the cluster {submission.address}" if submission.address else ""
    yield (
        f"submitted {plural(submission.workers, 'worker')}{beside} as job {submission.job_id} "
        f"({submission.name}){where} for {plural(outcome.left, 'run')}"
    )
    yield f"script: {outcome.script}"
    yield f"watch:  {shlex.join(['slbench', 'status', str(study), '--store', str(store)])}"


def outcome_document(outcome: "Outcome", study: str, engine: Engine) -> dict[str, Any]:
    """Return the `--json` document of a request."""
    submission = outcome.submission
    return {
        "study": study,
        "engine": engine,
        "active": outcome.active,
        "runs_left": outcome.left,
        "left_out": ",".join(outcome.left_out) or None,
        "submission": None
        if submission is None
        else {
            "job_id": submission.job_id,
            "name": submission.name,
            "workers": submission.workers,
            "address": submission.address or None,
            "script": None if outcome.script is None else str(outcome.script),
        },
    }


def chosen_settings(
    engine: Engine, tables: "EngineTables | None", flags: dict[str, Any], *, where: str
) -> SlurmSettings | RaySettings:
    """Return the settings of an engine. Raises InputError for flags of another one."""
    given = {name: value for name, value in flags.items() if value is not None}
    for name in given.keys() & set(OF_RAY if engine == "slurm" else OF_SLURM):
        raise InputError(f"--{name.replace('_', '-')}: has no meaning with --engine {engine}; leave it out")
    names = {"sbatch": "options", "resource": "resources", "ray_address": "address"}
    fields = {names.get(name, name): value for name, value in given.items() if name != "max_parallel"}
    if engine == "slurm":
        return settings_of(SlurmSettings, tables, fields, where=where)
    return settings_of(RaySettings, tables, fields, where=where)


@contextmanager
def opened(
    engine: Engine, settings: SlurmSettings | RaySettings, *, dry_run: bool = False
) -> Iterator[tuple["Scheduler", str]]:
    """Yield the scheduler and the address of its cluster; without one, Ray gets a cluster that ends with the block."""
    from slbench.engines.ray_cluster import RayCluster, RayDriver, check_address
    from slbench.engines.schedulers import SCHEDULERS

    if not isinstance(settings, RaySettings):
        yield SCHEDULERS[engine], ""
        return
    address = settings.address or os.environ.get("RAY_ADDRESS", "")
    if address and not dry_run:
        check_address(address)
    if address or dry_run:
        yield SCHEDULERS[engine], address
        return
    with RayDriver("") as driver:
        yield RayCluster(driver), driver.address


def is_own_cluster(scheduler: "Scheduler") -> bool:
    """Return whether the cluster ends with this process."""
    return getattr(scheduler, "driver", None) is not None


def wait_until_over(request: "Request") -> None:
    """Wait until no worker of a study is left; at Ctrl-C and SIGTERM cancel them."""
    from slbench.engines.submit import cancel as cancel_workers
    from slbench.engines.submit import confirmed

    signal.signal(signal.SIGTERM, interrupt)

    def wait() -> None:
        while any(each.active for each in confirmed(request.store, request.name, request.schedulers)):
            time_module.sleep(POLL_SECONDS)

    try:
        wait()
    except KeyboardInterrupt:
        cancel_workers(request.store, request.name, workers=None, schedulers=request.schedulers)
        wait()
        raise


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


def amounts(values: list[str]) -> dict[str, float]:
    """Return the custom resources of `--resource name=number`. Raises InputError for anything else."""
    found = {}
    for value in values:
        name, _, text = value.rpartition("=")
        try:
            found[name.strip()] = float(text)
        except ValueError:
            name = ""
        if not name.strip():
            raise InputError(f"--resource: must be NAME=NUMBER, such as a100=1 (got {shown(value)})")
    return found


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
    as_json: options.Json = False,
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
    if as_json:
        print_json({"study": name, "cancelled": targets})
        return
    print(f"cancelled {plural(len(targets), 'worker')}{': ' if targets else ''}{', '.join(targets)}")
