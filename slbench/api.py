"""Studies from Python: planned, run and reported as by the commands."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from slbench.data import DataConfig
from slbench.errors import InputError, TrainingError
from slbench.grid.adaptive_seeds import with_adaptive_seeds
from slbench.names import lookup
from slbench.plotting.style import FIGURE_STYLES
from slbench.report import SUFFIXES
from slbench.store import ENDED, Store
from slbench.study import Flags, Study, load_study, make_study
from slbench.text import plural

if TYPE_CHECKING:
    from slbench.grid.events import Event
    from slbench.report.inputs import ReportInputs
    from slbench.report.write import Report

AnyStudy = Study | str | Path | Mapping[str, Any]


def study_of(study: AnyStudy) -> Study:
    """Return a study: itself, that of a TOML file, or that of a mapping with the same keys.

    Raises:
        InputError: for invalid content.
    """
    flags = Flags(data=DataConfig.read(None, runs_plugins=True))
    if isinstance(study, Study):
        return study
    if isinstance(study, Mapping):
        return make_study(study, name="study", where="study", flags=flags)
    return load_study(Path(study), flags)


def plan(study: AnyStudy, *, store: str | Path = "results") -> pd.DataFrame:
    """Return the runs of a study as a frame indexed by run id: backbone, method, dataset, seed, state.

    Args:
        study: a `Study`, a study file, or a mapping with the keys of one.
        store: folder of results; need not exist.
    Raises:
        InputError: for an invalid study or store.
    """
    results = Store(Path(store))
    results.check(writing=False)
    runs = with_adaptive_seeds(study_of(study), results).runs
    states = results.states(run.spec for run in runs)
    rows = [
        {
            "run_id": run.spec.run_id,
            "backbone": run.labels.backbone,
            "method": run.labels.method,
            "dataset": run.labels.dataset,
            "seed": run.spec.seed,
            "state": states[run.spec.run_id],
        }
        for run in runs
    ]
    return pd.DataFrame(rows).set_index("run_id")


def run(
    study: AnyStudy,
    *,
    store: str | Path = "results",
    devices: str = "auto",
    jobs_per_device: int | None = None,
    threads: int = 1,
    on_event: "Callable[[Event], None]" = lambda event: None,
) -> pd.DataFrame:
    """Train the missing runs of a study, each in a process of its own, and return all as `load_runs` does.

    An interrupted call goes on where it stopped when it is repeated.

    Args:
        study: a `Study`, a study file, or a mapping with the keys of one.
        store: folder of results.
        devices: as `--devices`: "auto", "cpu", "mps", or "cuda:0,cuda:1".
        jobs_per_device: concurrent runs; default: by the device.
        threads: CPU threads per run.
        on_event: called at each event of the grid, such as `slbench.grid.events.Finished`.
    Raises:
        InputError: for an invalid study, device or store, or missing data.
        TrainingError: if runs failed; finished ones are kept.
    """
    from slbench.grid.launch import launch_jobs, prepare
    from slbench.grid.queue import Policy

    results = Store(Path(store))
    results.check(writing=True)
    chosen = study_of(study)
    current = with_adaptive_seeds(chosen, results)
    grid = prepare(
        current.runs,
        results,
        devices=devices,
        jobs_per_device=jobs_per_device,
        threads=threads,
        writing=True,
        with_data=True,
    )
    for note in grid.notes:
        warnings.warn(note, stacklevel=2)
    launch_jobs(grid, policy=Policy(), on_event=on_event, study=current)
    runs = with_adaptive_seeds(chosen, results).runs
    states = results.states(each.spec for each in runs)
    left = {run_id: state for run_id, state in states.items() if state not in ENDED}
    if left:
        run_id, state = next(iter(left.items()))
        raise TrainingError(
            f"{plural(len(left), 'run')} of {len(runs)} not finished, such as {run_id} ({state}); "
            f"see: slbench logs {run_id} --store {store}"
        )
    return finished(chosen, results).frame


def finished(study: Study, store: Store) -> "ReportInputs":
    """Return the inputs of a report on a study."""
    from slbench.report.inputs import gather_study

    return gather_study(with_adaptive_seeds(study, store), store)


def write_report(
    study: AnyStudy,
    *,
    store: str | Path = "results",
    out: str | Path | None = None,
    formats: Sequence[str] = ("md", "csv", "latex", "html"),
    figures: Sequence[str] = (),
    figure_style: str = "screen",
) -> "Report":
    """Write tables, figures and the HTML page of a study; return what was written, with the table and its verdicts.

    Args:
        study: a `Study`, a study file, or a mapping with the keys of one.
        store: folder of results.
        out: folder of the report; default: STORE/reports/STUDY.
        formats: of md, csv, latex and html.
        figures: names of figures, "all" or "none"; default as in the command.
        figure_style: "screen", "paper", "two-column" or "slides".
    Raises:
        InputError: for an unknown name, or a study without a finished run.
    """
    from slbench.report.figures.registry import FIGURES
    from slbench.report.write import report

    for name in formats:
        lookup(SUFFIXES, name, "format", where="formats")
    for name in figures:
        lookup(dict.fromkeys([*FIGURES, "all", "none"]), name, "figure", where="figures")
    look = lookup(FIGURE_STYLES, figure_style, "figure style", where="figure_style")
    results = Store(Path(store))
    results.check(writing=out is None)
    inputs = finished(study_of(study), results)
    if not inputs.outcomes:
        raise InputError(f"{results.root}: no finished run of {inputs.name} yet; start with: slbench.run(study)")
    folder = results.root / "reports" / inputs.name if out is None else Path(out)
    return report(inputs, formats=list(formats), figures=list(figures), look=look, out=folder)
