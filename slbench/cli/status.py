"""`slbench status`, `slbench logs`: watch a grid from another terminal."""

import contextlib
import io
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slbench.cli import options
from slbench.cli.printing import print_json
from slbench.data import DataConfig
from slbench.differing import flat, settings_of_group
from slbench.errors import InputError, StoreError, unreadable
from slbench.grid.adaptive_seeds import SeedRuleState, decisions, with_adaptive_seeds
from slbench.grid.adaptive_seeds import summary as seeds_summary
from slbench.grid.status import GridStatus
from slbench.store import STATES, State, Store, state_of
from slbench.study import Study, StudyRun
from slbench.study_files import grid_run_ids, studies_of
from slbench.text import duration, plural

if TYPE_CHECKING:
    from slbench.engines.watch import Watcher
    from slbench.stats.sequential import Outcome

WATCH_SECONDS = 2.0
FOLLOW_SECONDS = 0.5


def status(
    study: options.StudyPath = None,
    store: options.StoreFolder = options.RESULTS,
    data_root: options.DataRoot = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until all runs have ended.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show which runs are done, running, failed, damaged or missing.

    Exits with 1 if any run failed, or if a record or study of the store is damaged.
    """
    if watch and as_json:
        raise InputError("--watch and --json cannot be combined")
    results = Store(store)
    results.check(writing=False)
    chosen = (
        everything(results)
        if study is None
        else with_adaptive_seeds(study_file(study, DataConfig.read(data_root)), results)
    )
    unreadable = [*results.unreadable(), *studies_of(results)[1]] if study is None else []
    standing = GridStatus.of(chosen.runs, results)
    watcher = worker_watcher(results, None if study is None else chosen.name)
    if watch:
        standing = watch_runs(chosen, results, watcher)
    elif as_json:
        document = {**as_document(chosen, standing), **worker_document(watcher), "unreadable": unreadable}
        print_json(document)
    else:
        texts = [*lines(chosen, standing), *worker_lines(watcher), *(f"unreadable  {text}" for text in unreadable)]
        print("\n".join(texts))
    if unreadable or {"failed", "damaged"} & set(standing.states.values()):
        raise typer.Exit(1)


def worker_watcher(store: Store, study: str | None) -> "Watcher | None":
    """Return what knows the workers that were submitted to a cluster; None in a store without submissions."""
    if not (store.root / "engines").is_dir():
        return None
    from slbench.engines.schedulers import SCHEDULERS
    from slbench.engines.watch import Watcher

    return Watcher(store, study, schedulers=SCHEDULERS, clock=time.monotonic)


def worker_lines(watcher: "Watcher | None") -> list[str]:
    """Return the lines on the workers that were submitted to a cluster."""
    if watcher is None:
        return []
    from slbench.cli.engine_status import engine_lines

    return list(engine_lines(watcher.look(), watcher.problem))


def worker_document(watcher: "Watcher | None") -> dict[str, Any]:
    """Return what workers that were submitted to a cluster add to `--json`."""
    if watcher is None:
        return {}
    from slbench.cli.engine_status import engine_document

    return engine_document(watcher.look(), watcher.problem)


def study_file(path: Path, data: DataConfig) -> Study:
    """Return the study of a file without flags."""
    return options.study_of(
        path, backbone=[], method=[], dataset=[], seeds=None, recipe=None, protocol=None, changes=[], data=data
    )


def everything(store: Store) -> Study:
    """Return all runs of a store as one study."""
    begun = [StudyRun(spec, launch.labels, trial=launch.trial) for spec, launch in store.begun()]
    return Study(name=str(store.root), title="", source="", runs=named_apart(begun, store), notes=())


def named_apart(runs: Sequence[StudyRun], store: Store) -> tuple[StudyRun, ...]:
    """Return runs with the settings by which those of one name differ, and with the trials of searches marked."""
    groups = defaultdict[tuple[str, ...], list[StudyRun]](list)
    for run in runs:
        groups[run.labels.backbone, run.labels.method, run.labels.dataset].append(run)
    settings = {
        run.spec.run_id: found
        for group in groups.values()
        if len({run.spec.cell_id for run in group}) > 1
        for run, found in zip(group, settings_of_group([flat_spec(run) for run in group]), strict=True)
    }
    trials = trials_of(store)
    return tuple(
        replace(run, settings=settings.get(run.spec.run_id, ()), trial=run.trial or trials.get(run.spec.run_id, ""))
        for run in runs
    )


def flat_spec(run: StudyRun) -> dict[str, Any]:
    """Return the fields of a run without its seed."""
    fields = flat(run.spec.as_dict())
    del fields["seed"]
    return fields


def trials_of(store: Store) -> dict[str, str]:
    """Return the trial of each run that a search of the store made and no study asks for."""
    if not (store.root / "tuning").is_dir():
        return {}
    from slbench.tuning.record import load, searches

    asked, trials = grid_run_ids(studies_of(store)[0]), dict[str, str]()
    for folder in searches(store):
        with contextlib.suppress(StoreError):  # `report` names it
            record = load(folder)
            for row in record.rows:
                name = record.study_names.get(row.method, record.name)
                compared = () if row.comparison is None else row.comparison.run_ids
                trials |= dict.fromkeys(compared, f"comparison of {name}")
                for trial in row.trials:
                    trials |= dict.fromkeys(trial.run_ids, f"trial {trial.number} of {name}")
    return {run_id: trial for run_id, trial in trials.items() if run_id not in asked}


def watch_runs(study: Study, store: Store, watcher: "Watcher | None") -> GridStatus:
    """Refresh the state until all runs have ended."""
    from rich.live import Live
    from rich.text import Text

    from slbench.cli.terminal import Terminal

    with Live(auto_refresh=False, console=Terminal()) as live:
        while True:
            study = with_adaptive_seeds(study, store)
            standing = GridStatus.of(study.runs, store)
            live.update(Text("\n".join([*lines(study, standing), *worker_lines(watcher)])), refresh=True)
            if standing.is_over:
                return standing
            time.sleep(WATCH_SECONDS)


def logs(
    run: Annotated[str, typer.Argument(help="Run id, or a unique prefix of it; or a worker on a cluster: 17_0.")],
    store: options.StoreFolder = options.RESULTS,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the run has ended.")] = False,
    as_json: options.Json = False,
) -> None:
    """Print the log of a run, or of a worker on a cluster."""
    from slbench.files import open_regular
    from slbench.run_paths import RunPaths

    if follow and as_json:
        raise InputError("--follow and --json cannot be combined")
    results = Store(store)
    results.check(writing=False)
    is_worker = re.fullmatch(r"[0-9a-f]+_\d+", run) is not None
    if is_worker:
        run_id, path = run, worker_log(results, run)
    else:
        run_id, folder = results.find(run)
        path = RunPaths(folder).log
    try:
        with io.TextIOWrapper(open_regular(path), errors="replace") as log:
            text = log.read()
            is_running = run_id in results.claims.holders()
            if as_json:
                state = None if is_worker else "running" if is_running else state_of(folder)
                print_json({"id": run_id, "state": state, "file": str(path), "lines": text.splitlines()})
                return
            if not text:
                waiting = "; waiting for its first line" if follow and is_running else ""
                print(f"{path}: the log is empty{waiting}", file=sys.stderr)
            print(text, end="", flush=True)
            while follow and run_id in results.claims.holders():
                time.sleep(FOLLOW_SECONDS)
                print(log.read(), end="", flush=True)
            print(log.read(), end="", flush=True)
            if follow and not is_worker:
                print(f"{run_id}: {'' if is_running else 'not running: '}{state_of(folder)}", file=sys.stderr)
    except FileNotFoundError:
        raise InputError(f"{path.parent}: no log; it was trained by `slbench train`, or has not started") from None
    except OSError as error:
        raise unreadable(path, error) from error


def worker_log(store: Store, worker: str) -> Path:
    """Return the log of a worker on a cluster by job id and task. Raises InputError if no submission has it."""
    from slbench.engines.submission import submissions

    job_id, _, task = worker.partition("_")
    for submission, folder in submissions(store):
        if submission.job_id == job_id:
            return folder.log(int(task))
    raise InputError(f"{store.root}: no submission has this worker (got '{worker}'); slbench status names their jobs")


def lines(study: Study, standing: GridStatus) -> list[str]:
    """Return the state of a study: each run, common failures, the summary."""
    runs = [line(run, standing) for run in study.runs]
    return [*runs, *causes(standing), *rule_lines(study, standing), summary(study, standing), *continuations(standing)]


def continuations(standing: GridStatus) -> list[str]:
    """Return the commands that continue the paused runs."""
    commands = dict.fromkeys(pause.command for pause in standing.paused.values())
    return [f"continue with: {command or 'the command that started them'}" for command in commands]


def rule_lines(study: Study, standing: GridStatus) -> list[str]:
    """Return the outcome of the study's seed rule; empty without one."""
    return [] if study.seeds is None else [seeds_summary(decisions(study, outcomes(standing)))]


def outcomes(standing: GridStatus) -> "dict[str, Outcome]":
    """Return final test accuracies of finished runs by id, and which runs diverged."""
    finished: dict[str, Outcome] = {run: record.final_test_top1 for run, record in standing.records.items()}
    return {**finished, **dict.fromkeys(standing.diverged, "diverged")}


def line(run: StudyRun, standing: GridStatus) -> str:
    state = standing.states[run.spec.run_id]
    epochs = plural(run.spec.recipe.epochs, "epoch")
    text = f"{state:<7} {run.title}, {epochs} of {run.spec.steps_per_epoch} steps"
    if run.spec.run_id in standing.diverged:
        return f"{text}: {standing.diverged[run.spec.run_id].reason}"
    if run.spec.run_id in standing.damaged:
        return f"{text}: {standing.damaged[run.spec.run_id]}"
    if run.spec.run_id in standing.failures:
        return f"{text}: {standing.failures[run.spec.run_id].reason}"
    if run.spec.run_id in standing.pruned:
        return f"{text}: {standing.pruned[run.spec.run_id].reason}"
    if run.spec.run_id in standing.paused:
        return f"{text}: at epoch {standing.paused[run.spec.run_id].epoch} of {run.spec.recipe.epochs}"
    return text + (f": {running(run, standing)}" if state == "running" else "")


def running(run: StudyRun, standing: GridStatus) -> str:
    """Return the progress of a run and its device."""
    holder = standing.holders.get(run.spec.run_id)
    if holder is None:
        return "starting"
    where = f"{holder.owner.device or 'starting'} of {holder.owner.hostname}"
    progress, left = standing.progress(run), standing.seconds_left(run)
    if progress is None or left is None:
        return where
    accuracy = progress.top1
    top1 = "" if accuracy is None else f", top-1 {accuracy:.1f} %"
    return f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}{top1}, {duration(left)} left, {where}"


def causes(standing: GridStatus) -> list[str]:
    """Return a line for each cause of several failures."""
    return [
        f"{len(group)} failed with the same cause: {why.reason}: {', '.join(run.spec.run_id for run in group)}"
        for why, group in standing.by_cause()
        if len(group) > 1
    ]


def summary(study: Study, standing: GridStatus) -> str:
    """Return "8 of 8 done", the other states and the time left."""
    left = standing.total_seconds_left()
    return counts(study, standing.states) + ("" if left is None else f", {duration(left)} left")


def counts(study: Study, states: Mapping[str, State]) -> str:
    number = Counter(states.values())
    if not study.runs:
        return f"{study.name}: no runs yet; start with: slbench run-grid quick, or slbench init for a study of your own"
    others = ", ".join(f"{number[state]} {state}" for state in STATES[1:] if number[state])
    return f"{study.name}: {number['done']} of {len(study.runs)} done{', ' + others if others else ''}"


def as_document(study: Study, standing: GridStatus) -> dict[str, Any]:
    """Return the `--json` document: runs with their states, accuracies and progress."""
    number = Counter(standing.states.values())
    return {
        "study": study.name,
        "notes": list(study.notes),
        "total": len(study.runs),
        **{state: number[state] for state in STATES},
        "seconds_left": standing.total_seconds_left(),
        "runs": [entry(run, standing) for run in study.runs],
        **({} if study.seeds is None else rule_document(study, standing)),
    }


def rule_document(study: Study, standing: GridStatus) -> dict[str, Any]:
    """Return what a study's seed rule adds to `--json`."""
    assert study.seeds is not None
    found = decisions(study, outcomes(standing))
    return {
        "seeds": {**study.seeds.model_dump(), "level": SeedRuleState(study).design.interval_level},
        "comparisons": [
            {
                "row": decision.comparison.runs[0].spec.cell_id,
                "plain": decision.comparison.runs[1].spec.cell_id,
                **decision.look.model_dump(mode="json"),
            }
            for decision in found
        ],
    }


def entry(run: StudyRun, standing: GridStatus) -> dict[str, Any]:
    run_id = run.spec.run_id
    record, why = standing.records.get(run_id), standing.failures.get(run_id)
    holder = standing.holders.get(run_id)
    return {
        "run_id": run_id,
        "backbone": run.labels.backbone,
        "method": run.labels.method,
        "dataset": run.labels.dataset,
        "settings": list(run.settings),
        "seed": run.spec.seed,
        "trial": run.trial or None,
        "state": standing.states[run_id],
        "final_test_top1": None if record is None else record.final_test_top1,
        "failure": None if why is None else {"kind": why.kind, "reason": why.reason, "cause": why.cause},
        "diverged": diverged.reason if (diverged := standing.diverged.get(run_id)) else None,
        "damaged": standing.damaged.get(run_id),
        "pruned": pruned.reason if (pruned := standing.pruned.get(run_id)) else None,
        "paused": None
        if (pause := standing.paused.get(run_id)) is None
        else {"epoch": pause.epoch, "epochs": run.spec.recipe.epochs, "command": pause.command or None},
        "running": None
        if holder is None
        else {
            **holder.progress,
            "device": holder.owner.device,
            "hostname": holder.owner.hostname,
            "seconds_left": standing.seconds_left(run),
        },
    }
