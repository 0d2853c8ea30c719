"""`slbench report`."""

from pathlib import Path
from typing import Annotated

import typer

from slbench.cli import options
from slbench.errors import InputError
from slbench.methods import METHODS
from slbench.names import lookup
from slbench.report import SUFFIXES
from slbench.report.caption import AccuracyName
from slbench.store import Store
from slbench.study import StudyRun, load_study
from slbench.tuning.record import FILE, load, searches

ACCURACIES: dict[str, AccuracyName] = {"final": "final", "selected": "selected", "best": "best"}


def report(
    study: Annotated[
        Path | None,
        typer.Argument(help="A study file, or the folder of a search: results/tuning/NAME.", show_default=False),
    ] = None,
    store: options.StoreFolder = Path("results"),
    formats: Annotated[str, typer.Option("--format", help="md, csv, latex: with commas.")] = "md,csv,latex",
    accuracy: Annotated[
        str, typer.Option("--accuracy", help="final, selected, best: with commas. Default: final.", show_default=False)
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Default: STORE/reports/STUDY.", metavar="DIR", show_default=False)
    ] = None,
) -> None:
    """Print a study's table and write it, with a tidy runs.csv. Without a study: every run and search of the store."""
    wanted = options.split([formats])
    for format_ in wanted:
        lookup(SUFFIXES, format_, "format")
    accuracies = [lookup(ACCURACIES, name, "accuracy") for name in options.split([accuracy])]
    results = Store(store)
    results.check(writing=out is None)
    if study is not None and study.is_dir():
        print(tuning_summary(study, out or study), end="")
        return
    if study is None:
        name, title = "all", "Every run of the store"
        runs = tuple(sorted((StudyRun(record.spec, record.labels) for record in results.records()), key=table_order))
    else:
        chosen = load_study(study)
        name, title, runs = chosen.name, chosen.title, chosen.runs
    if not any(state == "done" for state in results.states(run.spec for run in runs).values()):
        what, start = ("", "STUDY") if study is None else (f" of {name}", study)
        raise InputError(f"{store}: no finished run{what} yet; start with: slbench run-grid {start}")
    from slbench.report.render import markdown
    from slbench.report.write import report as write

    folder = out or store / "reports" / name
    Store(folder).check(writing=True)
    table, figures = write(name, title, runs, results, accuracies=accuracies, formats=wanted, out=folder)
    print(markdown(table), end="")
    print(f"\nwritten to {folder}: runs.csv{''.join(f', {format_}' for format_ in wanted)}")
    for figure, shown in figures:
        print(f"{folder / figure}.png, .svg, .pdf: {shown}")
    for search in searches(results) if study is None else []:
        print(f"\n{tuning_summary(search, search)}", end="")


def tuning_summary(folder: Path, out: Path) -> str:
    """The summary of a search, written anew with its tables and figures from its record."""
    if not (folder / FILE).exists():
        raise InputError(
            f"{folder}: is a folder, and not that of a search: it has no {FILE}; known: results/tuning/NAME"
        )
    from slbench.tuning.write import write_tables

    return write_tables(load(folder), out)


def table_order(run: StudyRun) -> tuple[str, int, str, int]:
    """Where a run stands when no study says: shipped rows as they are listed, others after them."""
    known = list(METHODS)
    position = known.index(run.labels.method) if run.labels.method in known else len(known)
    return run.labels.backbone, position, run.labels.method, run.spec.seed
