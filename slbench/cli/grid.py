"""`slbench run-grid`, `slbench train`, `slbench status`."""

import json
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console

from slbench.cli import options
from slbench.cli.plan import say_work
from slbench.cli.views import make_view
from slbench.data import check_here
from slbench.errors import InputError
from slbench.grid.launch import launch, prepare
from slbench.grid.local import in_child
from slbench.grid.slots import make_slots, resolve_precision
from slbench.store import RunRecord, State, Store
from slbench.study import Study, StudyRun

RESULTS = Path("results")


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
    store: options.StoreFolder = RESULTS,
    data_root: options.DataRoot = None,
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    jobs_per_device: options.JobsPerDevice = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the jobs and their state; change nothing.")] = False,
    throughput: Annotated[bool, typer.Option(help="Measure images/s after the runs.")] = True,
    as_json: options.Json = False,
) -> None:
    """Run every cell of a grid that is not finished yet: from a study file, from flags, or both."""
    options.use_data_root(data_root)
    chosen = options.study_of(
        study, backbone=backbone, method=method, dataset=dataset, seeds=None if seeds is None else range(seeds),
        recipe=recipe, protocol=protocol,
        changes=changes, epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay,
        warmup_epochs=warmup_epochs, drop_path=drop_path,
    )  # fmt: skip
    results = Store(store)
    grid = prepare(
        chosen.runs, results, devices=devices, jobs_per_device=jobs_per_device, threads=threads, writing=not plan
    )
    states = grid.states
    console = Console(stderr=as_json)
    if not plan:
        say_notes(console, chosen)
        signal.signal(signal.SIGTERM, interrupt)
        with make_view(console, grid.todo) as view:
            launch(grid, throughput=throughput, on_event=view)
        states = results.states(run.spec for run in chosen.runs)
    if as_json:
        print(json.dumps(as_document(chosen, states, results), indent=2))
    else:
        if plan:
            say_notes(console, chosen)
            say_states(console, chosen, states, results)
            say_work(console, grid.todo)
        say_summary(console, chosen, states)
    if not plan and any(state != "done" for state in states.values()):
        raise typer.Exit(1)


def train(
    study: options.StudyPath = None,
    backbone: options.Backbones = [],  # noqa: B006
    method: options.Methods = [],  # noqa: B006
    dataset: options.Datasets = [],  # noqa: B006
    seed: Annotated[int, typer.Option("--seed", min=0, rich_help_panel=options.GRID)] = 0,
    recipe: options.RecipeName = None,
    protocol: options.ProtocolName = None,
    changes: options.Changes = [],  # noqa: B006
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.Lr = None,
    weight_decay: options.WeightDecay = None,
    warmup_epochs: options.WarmupEpochs = None,
    drop_path: options.DropPath = None,
    store: options.StoreFolder = RESULTS,
    data_root: options.DataRoot = None,
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    as_json: options.Json = False,
) -> None:
    """Train one run in the foreground, in this process, for a debugger. Same code and record as in a grid."""
    options.use_data_root(data_root)
    chosen = options.study_of(
        study, backbone=backbone, method=method, dataset=dataset, seeds=[seed], recipe=recipe, protocol=protocol,
        changes=changes, epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay,
        warmup_epochs=warmup_epochs, drop_path=drop_path,
    )  # fmt: skip
    if len(chosen.runs) != 1:
        raise InputError(
            f"train makes one run, and this is {len(chosen.runs)}: narrow it with --backbone, --method, --dataset"
        )
    run = chosen.runs[0]
    results = Store(store)
    results.check(writing=True)
    console = Console(stderr=as_json)
    done = results.states([run.spec])[run.spec.run_id] == "done"
    record = results.record(run.spec.run_id) if done else None
    if record is None:
        check_here(run.spec.dataset)
        say_notes(console, chosen)
        record = train_here(run, results, console, devices=devices, threads=threads)
    else:
        console.print(f"finished before: {results.folder(record.spec, record.labels)}", highlight=False)
    if as_json:
        print(record.model_dump_json(indent=2))
    else:
        console.print(
            f"final test top-1 {record.final_test_top1:.2f} %, weights {record.weights_sha256[:12]}", highlight=False
        )


def train_here(run: StudyRun, store: Store, console: Console, *, devices: str, threads: int) -> RunRecord:
    """Train in this process, on the first of the devices, with a line an epoch."""
    slot = make_slots(devices, jobs_per_device=1, threads=threads)[0]
    precision = resolve_precision(run.spec.recipe.precision, [slot])
    import torch

    from slbench.train.loop import Progress
    from slbench.train.run import execute

    def say(progress: Progress) -> None:
        if progress.step % (progress.steps // progress.epochs) == 0:
            console.print(
                f"epoch {progress.epoch}/{progress.epochs}: loss {progress.loss:.4f}, "
                f"{progress.images_per_second:.0f} images/s",
                highlight=False,
            )

    store.begin(run.spec, run.labels)
    device = slot.device.label if slot.device.kind == "cuda" else in_child(slot.device)
    return execute(
        run.spec,
        run.labels,
        store=store,
        device=torch.device(device),
        device_label=slot.device.label,
        device_name=slot.device.name,
        precision=precision,
        threads=threads,
        on_progress=say,
    )


def status(
    study: options.StudyPath = None,
    store: options.StoreFolder = RESULTS,
    data_root: options.DataRoot = None,
    as_json: options.Json = False,
) -> None:
    """Say which runs of a study are done, failed or missing. Exit code 1 if any has failed."""
    if study is None:
        raise InputError("name a study file: slbench status studies/quick.toml")
    options.use_data_root(data_root)
    chosen = options.study_of(
        study, backbone=[], method=[], dataset=[], seeds=None, recipe=None, protocol=None, changes=[]
    )
    results = Store(store)
    results.check(writing=False)
    states = results.states(run.spec for run in chosen.runs)
    console = Console()
    if as_json:
        print(json.dumps(as_document(chosen, states, results), indent=2))
    else:
        say_states(console, chosen, states, results)
        say_summary(console, chosen, states)
    if "failed" in states.values():
        raise typer.Exit(1)


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Make SIGTERM end a grid the way Ctrl-C does: children first."""
    raise KeyboardInterrupt


def say_notes(console: Console, study: Study) -> None:
    for note in study.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def say_states(console: Console, study: Study, states: Mapping[str, State], store: Store) -> None:
    for run in study.runs:
        state = states[run.spec.run_id]
        reason = f": {store.failure(run.spec.run_id)}" if state == "failed" else ""
        epochs = f"{run.spec.recipe.epochs} epoch{'' if run.spec.recipe.epochs == 1 else 's'}"
        size = f"{epochs} of {run.spec.steps_per_epoch} steps"
        console.print(f"{state:<8}{run.title}, {size}{reason}", markup=False, highlight=False, soft_wrap=True)


def say_summary(console: Console, study: Study, states: Mapping[str, State]) -> None:
    """ "8 of 8 done", and what else there is."""
    counts = Counter(states.values())
    others = ", ".join(f"{counts[state]} {state}" for state in ("failed", "missing") if counts[state])
    console.print(
        f"{study.name}: {counts['done']} of {len(study.runs)} done{', ' + others if others else ''}", highlight=False
    )


def as_document(study: Study, states: Mapping[str, State], store: Store) -> dict[str, Any]:
    """What `--json` prints: the runs with their states and, of those done, their accuracies."""
    records = {record.run_id: record for record in store.records(finished_ids(study.runs, states))}
    counts = Counter(states.values())
    return {
        "study": study.name,
        "notes": list(study.notes),
        "total": len(study.runs),
        **{state: counts[state] for state in ("done", "failed", "missing")},
        "runs": [
            {
                "run_id": run.spec.run_id,
                "backbone": run.labels.backbone,
                "method": run.labels.method,
                "dataset": run.labels.dataset,
                "seed": run.spec.seed,
                "state": states[run.spec.run_id],
                "final_test_top1": records[run.spec.run_id].final_test_top1 if run.spec.run_id in records else None,
            }
            for run in study.runs
        ],
    }


def finished_ids(runs: Sequence[StudyRun], states: Mapping[str, State]) -> list[str]:
    return [run.spec.run_id for run in runs if states[run.spec.run_id] == "done"]
