"""`slbench report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slbench.cli import options
from slbench.errors import InputError
from slbench.names import lookup
from slbench.report import DEFAULT_FIGURES, FIGURES, SUFFIXES
from slbench.store import Store
from slbench.study import load_study
from slbench.table_spec import COSTS, METRICS, check_columns, column_names
from slbench.tuning.record import FILE, load, searches

if TYPE_CHECKING:
    from slbench.report.inputs import ReportInputs

ACCURACIES = {name: name for name, measure in METRICS.items() if measure.is_accuracy}


def report(
    studies: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[STUDY]...", help="Study files, or folders of searches: results/tuning/NAME.", show_default=False
        ),
    ] = None,
    store: options.StoreFolder = Path("results"),
    data_root: options.DataRoot = None,
    formats: Annotated[str, typer.Option("--format", help="md, csv, latex, html: with commas.")] = "md,csv,latex",
    accuracy: Annotated[
        str, typer.Option("--accuracy", help="final, selected, best: with commas. Default: final.", show_default=False)
    ] = "",
    columns: Annotated[
        str,
        typer.Option("--columns", help=f"{', '.join(column_names())}: with commas, in any order.", show_default=False),
    ] = "",
    published: Annotated[
        bool, typer.Option("--published", help="The paper's numbers beside ours, with a verdict for each.")
    ] = False,
    figures: Annotated[
        str,
        typer.Option(
            "--figures",
            help=f"{', '.join(FIGURES)}: with commas; or all, none. Default: {', '.join(DEFAULT_FIGURES)}.",
            show_default=False,
        ),
    ] = "",
    query: Annotated[
        str,
        typer.Option(
            "--query",
            help='Only runs for which this pandas expression over the columns of runs.csv holds: "recipe_lr < 0.002".',
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Default: STORE/reports/STUDY.", metavar="DIR", show_default=False)
    ] = None,
) -> None:
    """Print a study's table and write it, with a tidy runs.csv. Without a study: every run and search of the store."""
    options.use_data_root(data_root)
    wanted = options.split([formats])
    for format_ in wanted:
        lookup(SUFFIXES, format_, "format")
    asked, drawn = asked_columns(accuracy, columns), asked_figures(figures)
    results = Store(store)
    results.check(writing=out is None)
    paths: Sequence[Path | None] = studies or [None]
    for path in paths:
        if path is not None and path.is_dir():
            print(tuning_summary(path, out or path), end="")
            continue
        inputs = finished_runs(path, results)
        if query:
            from slbench.report.inputs import only

            inputs = only(inputs, query)
        folder = out or store / "reports" / inputs.name
        if out is not None and len(paths) > 1:
            folder = out / inputs.name
        Store(folder).check(writing=True)
        show(inputs, columns=asked, published=published, formats=wanted, figures=drawn, out=folder)
    for search in searches(results) if not studies else []:
        print(f"\n{tuning_summary(search, search)}", end="")


def asked_columns(accuracy: str, columns: str) -> list[str]:
    """The columns that flags name; none if they name none. Raises InputError for one that there is not."""
    accuracies = [lookup(ACCURACIES, name, "accuracy") for name in options.split([accuracy])]
    named = options.split([columns])
    if accuracies and named:
        raise InputError("--accuracy is short for --columns: keep one of the two")
    check_columns(named, "--columns")
    gains = [part for name in accuracies for part in (name, "gain")]
    return named or ([*COSTS, *gains] if gains else [])


def asked_figures(figures: str) -> list[str]:
    """The figures that the flag names; none if it names none. Raises InputError for one that there is not."""
    named = options.split([figures])
    for name in named:
        lookup(dict.fromkeys([*FIGURES, "all", "none"]), name, "figure")
    if "none" in named and set(named) != {"none"}:
        raise InputError(f"--figures {figures}: 'none' stands alone")
    return list(dict.fromkeys(named))


def finished_runs(path: Path | None, store: Store) -> "ReportInputs":
    """The runs of a study, or of a whole store. Raises InputError if none of them is finished."""
    from slbench.grid.adaptive_seeds import with_adaptive_seeds
    from slbench.report.inputs import gather_store, gather_study

    inputs = gather_store(store) if path is None else gather_study(with_adaptive_seeds(load_study(path), store), store)
    if not inputs.records:
        what, start = ("", "STUDY") if path is None else (f" of {inputs.name}", path)
        if inputs.unread:
            raise InputError(f"{store.root}: no finished run{what} that can be read: {inputs.unread[0]}")
        raise InputError(f"{store.root}: no finished run{what} yet; start with: slbench run-grid {start}")
    return inputs


def show(
    inputs: "ReportInputs",
    *,
    columns: Sequence[str],
    published: bool,
    formats: Sequence[str],
    figures: Sequence[str],
    out: Path,
) -> None:
    """Write a report, print its table, and say what was written."""
    from slbench.report.render import markdown
    from slbench.report.write import report as write

    made = write(inputs, columns=columns, published=published, formats=formats, figures=figures, out=out)
    print(markdown.render_table(made.table), end="")
    if made.sections:
        print(f"\n{markdown.render_sections(made.sections)}", end="")
    print(f"\nwritten to {out}: {', '.join(made.files)}")
    for figure, shown in made.figures:
        print(f"{out / figure}.png, .svg, .pdf: {shown}")


def tuning_summary(folder: Path, out: Path) -> str:
    """The summary of a search, written anew with its tables and figures from its record."""
    if not (folder / FILE).exists():
        raise InputError(
            f"{folder}: is a folder, and not that of a search: it has no {FILE}; known: results/tuning/NAME"
        )
    from slbench.tuning.outputs import write_tables

    return write_tables(load(folder), out)
