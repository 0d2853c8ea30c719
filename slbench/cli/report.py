"""`slbench report`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slbench.cli import options
from slbench.cli.printing import print_json
from slbench.data import DataConfig
from slbench.errors import InputError
from slbench.names import lookup
from slbench.report import SUFFIXES
from slbench.report.figures.registry import DEFAULT_FIGURES, FIGURES
from slbench.store import Store
from slbench.study import Flags, load_study
from slbench.table_spec import COSTS, METRICS, check_columns, column_names
from slbench.text import shown
from slbench.tuning.record import FILE, load, searches

if TYPE_CHECKING:
    from slbench.grid.events import Event
    from slbench.plotting.style import FigureStyle
    from slbench.report.inputs import ReportInputs
    from slbench.report.write import Report

ACCURACIES = {name: name for name, measure in METRICS.items() if measure.is_accuracy}


def report(
    studies: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[STUDY]...",
            help="Study files, names of shipped studies, or search folders: results/tuning/NAME.",
            show_default=False,
        ),
    ] = None,
    store: options.StoreFolder = Path("results"),
    data_root: options.DataRoot = None,
    formats: Annotated[
        str, typer.Option("--format", help="Output formats, comma-separated: md, csv, latex, html.")
    ] = "md,csv,latex",
    accuracy: Annotated[
        str | None,
        typer.Option(
            "--accuracy",
            help="Accuracies, comma-separated: final, selected, best. [default: final]",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", help=f"Columns, comma-separated, in order: {', '.join(column_names())}.", show_default=False
        ),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Add the paper's numbers, with a verdict for each.")
    ] = False,
    figures: Annotated[
        str | None,
        typer.Option(
            "--figures",
            help=f"Figures, comma-separated: {', '.join(FIGURES)}; or all, none. "
            f"[default: {', '.join(DEFAULT_FIGURES)}]",
            show_default=False,
        ),
    ] = None,
    figure_style: options.FigureLook = "screen",
    measure: Annotated[
        bool,
        typer.Option("--measure", help="First measure images/s where missing or disturbed by other processes."),
    ] = False,
    query: Annotated[
        str | None,
        typer.Option(
            "--query",
            help='Only runs for which a condition on the columns of runs.csv holds: "recipe_lr < 0.002".',
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Output folder. [default: STORE/reports/STUDY]", metavar="DIR", show_default=False),
    ] = None,
) -> None:
    """Print the answers to a study's questions and its table; write tables and figures.

    Without a study: every run and every search of the store.
    """
    from slbench.report.write import report as write

    data = DataConfig.read(data_root)
    names = options.split([formats], "--format")
    for format_ in names:
        lookup(SUFFIXES, format_, "format", where="--format")
    named_columns, named_figures = asked_columns(accuracy, columns), asked_figures(figures)
    look = options.figure_style(figure_style)
    results = Store(store)
    results.check(writing=out is None)
    paths: Sequence[Path | None] = studies or [None]
    documents = []
    for path in paths:
        if path is not None and path.is_dir():
            if as_json:
                raise InputError(f"{path}: --json: not for the folder of a search, which has search.json")
            print(tuning_summary(path, out or path, Store(path.absolute().parent.parent), look), end="")
            continue
        inputs = finished_runs(path, results, data)
        if measure:
            measure_speeds(inputs, results)
            inputs = finished_runs(path, results, data)
        if query is not None:
            from slbench.report.inputs import only

            inputs = only(inputs, query)
        folder = out or store / "reports" / inputs.name
        if out is not None and len(paths) > 1:
            folder = out / inputs.name
        Store(folder).check(writing=True)
        output = write(
            inputs,
            columns=named_columns,
            published=published,
            formats=names,
            figures=named_figures,
            look=look,
            out=folder,
        )
        if as_json:
            documents.append(output.document())
        else:
            show(output, folder)
    if as_json:
        print_json(documents if len(paths) > 1 else documents[0])
        return
    for search in searches(results) if not studies else []:
        print(f"\n{tuning_summary(search, search, results, look)}", end="")


def asked_columns(accuracy: str | None, columns: str | None) -> list[str]:
    """Return the columns named by flags; empty without. Raises InputError for an unknown one."""
    accuracies = [
        lookup(ACCURACIES, name, "accuracy", where="--accuracy") for name in options.split([accuracy], "--accuracy")
    ]
    named = options.split([columns], "--columns")
    if accuracies and named:
        raise InputError("--accuracy and --columns cannot be combined; the first is short for the second")
    check_columns(named, "--columns")
    gains = [part for name in accuracies for part in (name, "gain")]
    check_columns(gains, "--accuracy")
    return named or ([*COSTS, *gains] if gains else [])


def asked_figures(figures: str | None) -> list[str]:
    """Return the figures named by the flag; empty without. Raises InputError for an unknown one."""
    named = options.split([figures], "--figures")
    for name in named:
        lookup(dict.fromkeys([*FIGURES, "all", "none"]), name, "figure", where="--figures")
    if "none" in named and set(named) != {"none"}:
        raise InputError(f"--figures: 'none' cannot be combined with others (got {shown(figures)})")
    return list(dict.fromkeys(named))


def finished_runs(path: Path | None, store: Store, data: DataConfig) -> "ReportInputs":
    """Return the finished runs of a study or a store. Raises InputError if there are none."""
    from slbench.grid.adaptive_seeds import with_adaptive_seeds
    from slbench.report.inputs import gather_store, gather_study

    inputs = (
        gather_store(store)
        if path is None
        else gather_study(with_adaptive_seeds(load_study(path, Flags(data=data)), store), store)
    )
    if not inputs.outcomes:
        what, start = ("", "STUDY") if path is None else (f" of {inputs.name}", path)
        if inputs.unread:
            raise InputError(f"{store.root}: no readable finished run{what}: {inputs.unread[0]}")
        raise InputError(f"{store.root}: no finished run{what} yet; start with: slbench run-grid {start}")
    return inputs


def measure_speeds(inputs: "ReportInputs", store: Store) -> None:
    """Measure the images/s that a report on finished runs lacks, or that other processes disturbed; say how it went."""
    from slbench.cli.views import log_line
    from slbench.grid.slots import make_slots
    from slbench.grid.throughput import measure_missing

    def tell(event: "Event") -> None:
        if (text := log_line(event)) is not None:
            print(f"slbench: {text}", file=sys.stderr)

    store.check(writing=True)
    devices = [slot.device for slot in make_slots("auto", jobs_per_device=1, threads=1)]
    measure_missing(inputs.runs, store, devices, on_event=tell, disturbed=True)


def show(output: "Report", folder: Path) -> None:
    """Print a report: answers, table, all contrasts, files."""
    from slbench.report.render import markdown

    answers, rest = output.sections[:1], output.sections[1:]
    parts = (markdown.render_sections(answers), markdown.render_table(output.table), markdown.render_sections(rest))
    print("\n".join(part for part in parts if part))
    print(f"written to {folder}: {', '.join(output.files)}")
    for figure, content in output.figures:
        print(f"{folder / figure}.png, .svg, .pdf: {content}")


def tuning_summary(folder: Path, out: Path, store: Store, look: "FigureStyle") -> str:
    """Return the summary of a search; rewrite its tables and figures from its record, corrected by its runs.

    Args:
        store: has the runs of the search.
    """
    if not (folder / FILE).exists():
        raise InputError(f"{folder}: not the folder of a search: no {FILE}; allowed: study files, results/tuning/NAME")
    from slbench.tuning.outputs import check_outputs, write_tables
    from slbench.tuning.record_check import checked

    check_outputs(out)
    record, lines = checked(load(folder), store)
    for line in lines:
        print(f"slbench: {folder / FILE}: {line}", file=sys.stderr)
    return write_tables(record, out, look)
