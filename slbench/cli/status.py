"""`slbench status`, `slbench logs`: looking at a grid from another terminal."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from slbench.cli import options
from slbench.errors import InputError
from slbench.grid.adaptive_seeds import decisions, with_adaptive_seeds
from slbench.grid.adaptive_seeds import summary as seeds_summary
from slbench.grid.status import GridStatus
from slbench.store import STATES, State, Store
from slbench.study import Study, StudyRun
from slbench.text import duration

WATCH_SECONDS = 2.0
FOLLOW_SECONDS = 0.5


def status(
    study: options.StudyPath = None,
    store: options.StoreFolder = options.RESULTS,
    data_root: options.DataRoot = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until all is over.")] = False,
    as_json: options.Json = False,
) -> None:
    """Say which runs of a study, or of the store, are done, running, failed or missing. Exit code 1 if any failed."""
    if watch and as_json:
        raise InputError("--watch and --json: choose one")
    options.use_data_root(data_root)
    results = Store(store)
    results.check(writing=False)
    chosen = everything(results) if study is None else with_adaptive_seeds(study_file(study), results)
    standing = GridStatus.of(chosen.runs, results)
    if watch:
        standing = keep_looking(chosen, results)
    elif as_json:
        print(json.dumps(as_document(chosen, standing), indent=2))
    else:
        print("\n".join(lines(chosen, standing)))
    if "failed" in standing.states.values():
        raise typer.Exit(1)


def study_file(path: Path) -> Study:
    """The study of a file as it stands."""
    return options.study_of(
        path, backbone=[], method=[], dataset=[], seeds=None, recipe=None, protocol=None, changes=[]
    )


def everything(store: Store) -> Study:
    """All runs of a store as one study."""
    runs = tuple(StudyRun(spec, labels) for spec, labels in store.begun())
    return Study(name=str(store.root), title="", source="", runs=runs, notes=())


def keep_looking(study: Study, store: Store) -> GridStatus:
    """Show the state anew until all is over."""
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        while True:
            study = with_adaptive_seeds(study, store)
            standing = GridStatus.of(study.runs, store)
            live.update(Text("\n".join(lines(study, standing))), refresh=True)
            if standing.is_over:
                return standing
            time.sleep(WATCH_SECONDS)


def logs(
    run: Annotated[str, typer.Argument(help="A run's id, or as much of its beginning as no other has.")],
    store: options.StoreFolder = options.RESULTS,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows, until the run has ended.")] = False,
) -> None:
    """Print a run's log."""
    from slbench.grid.processes import LOG

    results = Store(store)
    results.check(writing=False)
    run_id, folder = results.find(run)
    try:
        with (folder / LOG).open(errors="replace") as log:
            print(log.read(), end="")
            while follow and run_id in results.claims.holders():
                time.sleep(FOLLOW_SECONDS)
                print(log.read(), end="", flush=True)
            print(log.read(), end="")
    except FileNotFoundError:
        raise InputError(f"{folder}: has no log: the run was made by `slbench train`, or has not begun") from None


def lines(study: Study, standing: GridStatus) -> list[str]:
    """The state of a study for a person: each run, what failed the same way, the summary."""
    runs = [line(run, standing) for run in study.runs]
    return [*runs, *causes(standing), *rule_lines(study, standing), summary(study, standing)]


def rule_lines(study: Study, standing: GridStatus) -> list[str]:
    """What the study's rule of seeds has come to, if it has one."""
    return [] if study.seeds is None else [seeds_summary(decisions(study, accuracies(standing)))]


def accuracies(standing: GridStatus) -> dict[str, float]:
    """Of the finished runs, by id."""
    return {run: record.final_test_top1 for run, record in standing.records.items()}


def line(run: StudyRun, standing: GridStatus) -> str:
    state = standing.states[run.spec.run_id]
    epochs = f"{run.spec.recipe.epochs} epoch{'' if run.spec.recipe.epochs == 1 else 's'}"
    told = f"{state:<8}{run.title}, {epochs} of {run.spec.steps_per_epoch} steps"
    if run.spec.run_id in standing.failures:
        return f"{told}: {standing.failures[run.spec.run_id].reason}"
    if run.spec.run_id in standing.pruned:
        return f"{told}: {standing.pruned[run.spec.run_id].reason}"
    return told + (f": {running(run, standing)}" if state == "running" else "")


def running(run: StudyRun, standing: GridStatus) -> str:
    """How far a run is, and where."""
    holder = standing.holders.get(run.spec.run_id)
    if holder is None:
        return "starting"
    where = f"{holder.owner.device or 'starting'} of {holder.owner.hostname}"
    said, left = standing.progress(run), standing.seconds_left(run)
    if said is None or left is None:
        return where
    accuracy = said.top1
    top1 = "" if accuracy is None else f", top-1 {accuracy:.1f} %"
    return f"epoch {said.epoch}/{said.epochs}, loss {said.loss:.3f}{top1}, {duration(left)} left, {where}"


def causes(standing: GridStatus) -> list[str]:
    """A line for each way that several runs died."""
    return [
        f"{len(group)} failed the same way: {why.reason}: {', '.join(run.spec.run_id for run in group)}"
        for why, group in standing.by_cause()
        if len(group) > 1
    ]


def summary(study: Study, standing: GridStatus) -> str:
    """ "8 of 8 done", and what else there is."""
    left = standing.total_seconds_left()
    return counts(study, standing.states) + ("" if left is None else f", {duration(left)} left")


def counts(study: Study, states: Mapping[str, State]) -> str:
    number = Counter(states.values())
    others = ", ".join(
        f"{number[state]} {state}" for state in ("running", "failed", "pruned", "missing") if number[state]
    )
    return f"{study.name}: {number['done']} of {len(study.runs)} done{', ' + others if others else ''}"


def as_document(study: Study, standing: GridStatus) -> dict[str, Any]:
    """What `--json` prints: runs with their states; of the done accuracies, of the running how far they are."""
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
    """What a study's rule of seeds adds to `--json`."""
    from slbench.stats.sequential import confidence

    assert study.seeds is not None
    return {
        "seeds": {**study.seeds.model_dump(), "level": confidence(study.seeds)},
        "comparisons": [
            {
                "row": found.comparison.row.spec.cell_id,
                "plain": found.comparison.plain.spec.cell_id,
                "title": found.comparison.title,
                "state": found.analysis.state,
                "seeds": found.analysis.seeds,
                "verdict": found.analysis.verdict,
            }
            for found in decisions(study, accuracies(standing))
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
        "seed": run.spec.seed,
        "state": standing.states[run_id],
        "final_test_top1": None if record is None else record.final_test_top1,
        "failure": None if why is None else {"kind": why.kind, "reason": why.reason, "cause": why.cause},
        "pruned": pruned.reason if (pruned := standing.pruned.get(run_id)) else None,
        "running": None
        if holder is None
        else {
            **holder.progress,
            "device": holder.owner.device,
            "hostname": holder.owner.hostname,
            "seconds_left": standing.seconds_left(run),
        },
    }
