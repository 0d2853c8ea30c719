"""Expand a study file and flags into runs."""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from slbench.errors import InapplicableError, InputError
from slbench.stats.contrast import MIN_BACKBONES, Contrast, check_methods, check_values, declared
from slbench.study.axes import Grid
from slbench.study.comparisons import Cell, comparisons, groups_of
from slbench.study.file import Flags, StudyFile
from slbench.study.resolve import Resolver
from slbench.study.runs import Comparison, Study, StudyRun
from slbench.table_spec import TableSpec, check_columns, check_labels
from slbench.text import choices, distinct, shown

TABLE_LABELS = ("backbone", "method", "dataset")  # labels by which the table of a study names them


class Expansion:
    """Expansion of a study file and flags into runs."""

    def __init__(self, file: StudyFile, *, where: str, folder: Path, flags: Flags) -> None:
        self.file, self.where, self.flags = file, where, flags
        self.resolver = Resolver(file, where=where, folder=folder, flags=flags)
        self.grid = Grid(file, where=where, flags=flags)

    def study(self, name: str) -> Study:
        """Return the study with every applicable cell resolved and equal runs merged.

        Raises:
            InapplicableError: if no cell is applicable.
        """
        runs: dict[str, StudyRun] = {}
        meant, notes, refused = list[str](), [*self.grid.notes], list[InapplicableError]()
        resolved = list[tuple[Cell, StudyRun]]()
        for cell in self.grid.cells():
            settings = {**self.grid.settings, **cell}
            try:
                run, run_notes = self.resolver.run(settings)
                settings_of_cell = self.grid.other_axes(cell)
                if (
                    known := runs.get(run.spec.run_id)
                ) is not None:  # a setting that means nothing here does not name it
                    run, settings_of_cell = known, tuple(each for each in known.settings if each in settings_of_cell)
                runs[run.spec.run_id] = run = dataclasses.replace(run, settings=settings_of_cell)
                meant.append(run.spec.run_id)
                resolved.append((cell, run))
            except InapplicableError as error:
                refused.append(error)
                plain = self.resolver.plain(settings)
                run_notes = [f"skipped: {error}"] if plain is None else plain[1]
                if plain is not None:
                    runs.setdefault(plain[0].spec.run_id, plain[0])
            notes += run_notes
        if refused and not meant:
            raise InapplicableError(f"{self.where}: {refused[0]}") from refused[0]
        if not runs:
            raise InputError(f"{self.where}: exclude: no run is left in the grid")
        check_names_of_data(runs.values(), self.where)
        if len(meant) > len(set(meant)):
            notes.append(f"{len(meant)} cells of the grid are {len(set(meant))} distinct runs; equal ones run once")
        self._check_table_spec(runs.values())
        notes += self._unused_methods()
        contrasts = self._contrasts(list(runs.values()), resolved)
        compared: tuple[Comparison, ...] = ()
        if self.grid.rule is not None:
            compared = comparisons(resolved, contrasts, settings=self.grid.other_axes, where=self.where)
        return Study(
            name,
            self.file.title,
            self.file.source,
            tuple(runs.values()),
            tuple(dict.fromkeys(notes)),
            table_spec=self._table_spec(),
            seeds=self.grid.rule,
            comparisons=compared,
            contrasts=contrasts,
            statistics=self.file.statistics,
            engines=self.file.engine,
        )

    def _unused_methods(self) -> list[str]:
        """Return a note on methods of the file that its own grid does not use: they are checked alone, not with it."""
        used = [entry.value for entry in self.grid.axes["method"]]
        unused = [table["name"] for table in self.file.method if table["name"] not in used]
        if not unused or "method" in self.flags.grid:
            return []
        return [f"{self.where}: method: not in grid.method, so not run: {', '.join(map(shown, unused[:5]))}"]

    def _contrasts(
        self, runs: Sequence[StudyRun], resolved: Iterable[tuple[Cell, StudyRun]]
    ) -> tuple[Contrast, ...] | None:
        """Return the declared questions; None without. Those that flags take the runs from are left out."""
        methods, backbones = ({getattr(run.labels, name) for run in runs} for name in ("method", "backbone"))
        entries = enumerate(map(self._with_labels, self.file.contrast))
        questions = [declared(entry, where=f"{self.where}: contrast[{number}]") for number, entry in entries]
        kept = list[Contrast]()
        for number, question in enumerate(questions):
            where = f"{self.where}: contrast[{number}]"
            if question in kept:
                raise InputError(f"{where}: asked twice (got {shown(question.name)}); keep one")
            try:
                check_methods(question, sorted(methods), where=where)
                check_backbones(question, backbones, where)
                self._check_trend(question, where)
                self._check_values(question, resolved, where)
            except InputError:
                if not self.flags.grid:
                    raise
            else:
                kept.append(question)
        return tuple(kept) if questions else None

    def _with_labels(self, entry: Any) -> Any:
        """Return a question with the labels of its methods in place of their names."""
        if not isinstance(entry, dict) or "field" in entry:
            return entry
        labels = self.resolver.method_labels
        named = {key: entry[key] for key in ("method", "reference") if isinstance(entry.get(key), str)}
        return entry | {key: labels.get(name, name) for key, name in named.items()}

    def _table_spec(self) -> TableSpec:
        """Return the table of the study with the labels of its methods in place of their names."""
        labels, table = self.resolver.method_labels, self.file.report
        return table.model_copy(update={"method": tuple(labels.get(name, name) for name in table.method)})

    def _check_trend(self, question: Contrast, where: str) -> None:
        """Raise InputError unless the field of a trend has several values, all of them numbers."""
        if question.trend is None:
            return
        values = self._values_of_axis(question.trend, f"{where}: trend")
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
            raise InputError(f"{where}: trend: needs numbers (got {question.trend} = {shown(values)})")
        if question.scale == "log" and min(values) <= 0:
            raise InputError(f"{where}: scale: log needs values above 0 (got {question.trend} = {shown(values)})")

    def _check_values(self, question: Contrast, resolved: Iterable[tuple[Cell, StudyRun]], where: str) -> None:
        """Raise InputError unless runs have both values of a field, and only that field differs between them."""
        if question.field is None:
            return
        self._values_of_axis(question.field, f"{where}: field")
        if question.field in self.grid.ties:
            got = shown(question.field)
            raise InputError(
                f"{where}: field: must be an axis of its own, as it is to differ alone (got {got}, which is tied)"
            )
        known = distinct(run.value(question.field) for _, run in resolved)
        check_values(question, [value for value in known if value is not None], where=where)
        if not any(group.keys() == set(question.sides) for group in groups_of(resolved, question)):
            raise InputError(f"{where}: field: no two runs differ in it alone (got {shown(question.field)})")

    def _values_of_axis(self, path: str, where: str) -> list[Any]:
        """Return the values of a field's axis. Raises InputError unless it has several."""
        axes = {
            axis: values
            for axis, values in self.grid.axes.items()
            if len(values) > 1 and axis not in (*TABLE_LABELS, "seed", "recipe")
        }
        if path not in axes:
            allowed = choices(axes, path) or "; add it to [grid]"
            raise InputError(f"{where}: no axis with several values (got {shown(path)}){allowed}")
        return [each.value for each in axes[path]]

    def _check_table_spec(self, runs: Iterable[StudyRun]) -> None:
        """Raise InputError for an unknown column, or an unknown label if no flag changes the grid."""
        check_columns(self.file.report.columns, f"{self.where}: report.columns")
        if not self.flags.grid:
            known = {key: list(dict.fromkeys(getattr(run.labels, key) for run in runs)) for key in TABLE_LABELS}
            check_labels(self._table_spec(), known, self.where)


def check_backbones(question: Contrast, backbones: Collection[str], where: str) -> None:
    """Raise InputError for a mean over more backbones than the study has."""
    needed = 1 if question.over is None else 2 if question.over == "backbones" else MIN_BACKBONES
    if len(backbones) < needed:
        raise InputError(
            f"{where}: over: needs {needed} or more backbones (got {shown(question.over)} with {len(backbones)}); "
            "add them to grid.backbone"
        )


def check_names_of_data(runs: Iterable[StudyRun], where: str) -> None:
    """Raise InputError if two different data sets share a name."""
    sources: dict[str, str] = {}
    for run in runs:  # equal data from two files are equal runs, merged already
        if sources.setdefault(run.labels.dataset, run.labels.data) != run.labels.data:
            both = f"{sources[run.labels.dataset]} and {run.labels.data}"
            raise InputError(
                f"{where}: two different data sets have one name (got '{run.labels.dataset}' for {both}); rename one"
            )
