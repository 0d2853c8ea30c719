"""A study file and flags turned into runs."""

import json
from collections.abc import Iterable, Mapping

from slbench.errors import InapplicableError, InputError
from slbench.study.axes import Grid
from slbench.study.file import Flags, StudyFile
from slbench.study.resolve import Resolver
from slbench.study.runs import Comparison, Study, StudyRun
from slbench.table_spec import check_columns, check_labels
from slbench.validation import Override

ROWS_OF_TABLES = ("backbone", "method", "dataset")  # labels by which the table of a study names them
PLAIN = "none"  # the row that others are compared with


class Expansion:
    """Turns a study file and flags into runs."""

    def __init__(self, file: StudyFile, *, where: str, flags: Flags) -> None:
        self.file, self.where, self.flags = file, where, flags
        self.resolver = Resolver(file, where=where, recipe=flags.recipe)
        self.grid = Grid(file, where=where, flags=flags)

    def study(self, name: str) -> Study:
        """Every cell of the grid that means something, resolved; equal runs once.

        Raises:
            InapplicableError: if no cell means something.
        """
        runs: dict[str, StudyRun] = {}
        meant, notes, refused = list[str](), [*self.grid.notes], list[InapplicableError]()
        resolved = list[tuple[dict[str, Override], StudyRun]]()
        for cell in self.grid.cells():
            settings = {**self.grid.settings, **cell}
            try:
                run, said = self.resolver.run(settings)
                meant.append(run.spec.run_id)
                resolved.append((cell, runs.setdefault(run.spec.run_id, run)))
            except InapplicableError as error:
                refused.append(error)
                plain = self.resolver.plain(settings)
                said = [f"left out: {error}"] if plain is None else plain[1]
                if plain is not None:
                    runs.setdefault(plain[0].spec.run_id, plain[0])
            notes += said
        if refused and not meant:
            raise InapplicableError(f"{self.where}: {refused[0]}") from refused[0]
        if not runs:
            raise InputError(f"{self.where}: exclude: leaves no run of the grid")
        check_names_of_data(runs.values(), self.where)
        if len(meant) > len(set(meant)):
            notes.append(
                f"{len(meant)} cells of the grid are {len(set(meant))} different runs: equal ones are made once"
            )
        self._check_table_spec(runs.values())
        return Study(
            name,
            self.file.title,
            self.file.source,
            tuple(runs.values()),
            tuple(dict.fromkeys(notes)),
            table_spec=self.file.report,
            seeds=self.grid.rule,
            comparisons=self._comparisons(resolved) if self.grid.rule is not None else (),
        )

    def _check_table_spec(self, runs: Iterable[StudyRun]) -> None:
        """Raise InputError for a column that there is not; for a row or data set too, if the grid is all the file's."""
        check_columns(self.file.report.columns, f"{self.where}: report.columns")
        if not self.flags.grid:
            known = {key: list(dict.fromkeys(getattr(run.labels, key) for run in runs)) for key in ROWS_OF_TABLES}
            check_labels(self.file.report, known, self.where)

    def _comparisons(self, resolved: Iterable[tuple[dict[str, Override], StudyRun]]) -> tuple[Comparison, ...]:
        """Each row beside row "none" at the same values of all other axes; equal pairs once, and none with itself.

        Raises:
            InputError: for a row without its "none", and if nothing is left to compare.
        """
        first = [(cell, run) for cell, run in resolved if run.spec.seed == 0]
        plain = {beside(cell): run for cell, run in first if cell["method"].value == PLAIN}
        found = dict[tuple[str, str], Comparison]()
        for cell, run in first:
            other = plain.get(beside(cell))
            if other is None:
                raise InputError(
                    f"{self.where}: seeds: row '{cell['method'].value}' of {run.labels.backbone} on "
                    f"{run.labels.dataset} has no row '{PLAIN}' to be compared with: add it to grid.method, or give a "
                    "fixed number of seeds, grid.seed or --seeds N"
                )
            if run.spec != other.spec:
                pair = Comparison(run, other, self.grid.other_axes(cell))
                found.setdefault((run.spec.run_id, other.spec.run_id), pair)
        if not found:
            raise InputError(
                f"{self.where}: seeds: no row is left to be compared with '{PLAIN}': give a fixed number of seeds, "
                "grid.seed or --seeds N"
            )
        return tuple(found.values())


def beside(cell: Mapping[str, Override]) -> str:
    """The same for cells that differ in row and seed alone."""
    return json.dumps(
        {path: entry.value for path, entry in cell.items() if path not in ("method", "seed")}, default=str
    )


def check_names_of_data(runs: Iterable[StudyRun], where: str) -> None:
    """Raise InputError if two different data sets would stand under one name in a table."""
    sources: dict[str, str] = {}
    for run in runs:  # equal data from two files are equal runs, of which one is left here
        if sources.setdefault(run.labels.dataset, run.labels.data) != run.labels.data:
            both = f"{sources[run.labels.dataset]} and {run.labels.data}"
            raise InputError(f"{where}: two different data sets are called '{run.labels.dataset}', {both}: rename one")
