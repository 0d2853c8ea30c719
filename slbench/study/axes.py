"""Axes, settings and cells of a study's grid."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping

from slbench.data import DEFAULT_DATASET
from slbench.differing import setting_text
from slbench.errors import InputError
from slbench.recipes import ALIASES
from slbench.study.file import Flags, StudyFile, Value
from slbench.study.paths import (
    axis_values,
    by_full_path,
    check_path,
    dotted_paths,
    flattened,
    has_arguments,
    is_argument,
    is_list,
    quoted,
    takes_list,
)
from slbench.study.runs import SeedRule
from slbench.text import choices, shown
from slbench.validation import Override, checked

DEFAULT_AXES: dict[str, list[str] | list[int]] = {
    "backbone": ["vit"],
    "dataset": [DEFAULT_DATASET],
    "method": ["none", "spt", "lsa", "both"],
    "seed": [0],
}


MAX_CELLS = 100_000


class Grid:
    """Axes and settings of a study; each value with its origin."""

    def __init__(self, file: StudyFile, *, where: str, flags: Flags) -> None:
        self.file, self.where, self.flags = file, where, flags
        self.arguments = has_arguments({**file.grid, **flags.grid})
        self.notes: list[str] = []  # how ambiguous values were read
        self.settings = self._settings()
        self.rule = self._rule()
        self.ties: dict[str, int] = {}  # number of the [[grid.zip]] table by axis
        self.axes = self._axes()

    def cells(self) -> Iterable[dict[str, Override]]:
        """Yield the product of the axes without excluded cells. An exclusion that matches no cell is an error."""
        self._check_number()
        for table in self.file.exclude:
            for key in table:
                if ALIASES.get(key, key) not in self.axes:
                    raise InputError(f"{self.where}: exclude: {key}: not an axis of this grid{choices(self.axes, key)}")
        unused = dict(enumerate(self.file.exclude))
        for parts in itertools.product(*self._groups().values()):
            cell = {path: value for part in parts for path, value in part.items()}
            matching = [number for number, table in enumerate(self.file.exclude) if matches(cell, table)]
            for number in matching:
                unused.pop(number, None)
            if not matching:
                yield cell
        if unused and not self.flags.grid:
            first = shown(next(iter(unused.values())))
            raise InputError(f"{self.where}: exclude: matches no cell of the grid (got {first})")

    def _groups(self) -> dict[str, list[dict[str, Override]]]:
        """Return the values of axes that vary on their own, and of tied ones together, by the names of the axes."""
        tied: dict[int, list[str]] = {}
        for path, number in self.ties.items():
            tied.setdefault(number, []).append(path)
        groups: dict[str, list[dict[str, Override]]] = {}
        for path in self.axes:
            together = tied[self.ties[path]] if path in self.ties else [path]
            values = zip(*(self.axes[each] for each in together), strict=True)
            groups[" with ".join(together)] = [dict(zip(together, entries, strict=True)) for entries in values]
        return groups

    def _check_number(self) -> None:
        """Raise InputError for more cells than a study may have."""
        counts = {path: len(values) for path, values in self._groups().items() if len(values) > 1}
        cells = math.prod(counts.values())
        if cells > MAX_CELLS:
            product = " x ".join(f"{count:,} {path}" for path, count in counts.items())
            raise InputError(
                f"{self.where}: grid: too many combinations (got {cells:,}: {product}); "
                f"allowed: at most {MAX_CELLS:,}; split the study"
            )

    def other_axes(self, cell: Mapping[str, Override]) -> tuple[str, ...]:
        """Return a cell's values on axes with several values, except the seed and the labelled ones."""
        several = [path for path, values in self.axes.items() if len(values) > 1 and path not in DEFAULT_AXES]
        return tuple(setting_text(path, cell[path].value) for path in several)

    def _settings(self) -> dict[str, Override]:
        """Return every override by dotted path; a flag wins over the file."""
        of_file = {
            path: Override(value, f"{self.where}: set.{path}") for path, value in flattened(self.file.set).items()
        }
        of_flags = {path: Override(value, f"--set {path}") for path, value in self.flags.set.items()}
        for path, setting in [*of_file.items(), *of_flags.items()]:
            check_path(path, setting.origin, known=[*ALIASES, "protocol", *dotted_paths()], arguments=self.arguments)
            if isinstance(setting.value, list) and not takes_list(path) and not (self.arguments and is_argument(path)):
                raise InputError(
                    f"{setting.origin}: must be one value (got {shown(setting.value)}); "
                    "write a list under [grid] of a study file"
                )
        of_file, of_flags = by_full_path(of_file), by_full_path(of_flags)
        if self.file.precision is not None:
            if "recipe.precision" in of_file:
                other = of_file["recipe.precision"].origin
                raise InputError(f"{self.where}: precision: also set by {other}; keep one of the two")
            of_file["recipe.precision"] = Override(self.file.precision, f"{self.where}: precision")
        of_file.setdefault("protocol", Override(self.file.protocol, f"{self.where}: protocol"))
        if self.flags.protocol is not None:
            of_flags["protocol"] = Override(self.flags.protocol, "--protocol")
        return {**of_file, **of_flags}

    def _rule(self) -> SeedRule | None:
        """Return the seed rule, unless flags set the seeds."""
        content, origin = self.file.seeds, f"{self.where}: seeds"
        if content is None:
            return None
        if not isinstance(content, dict):
            raise InputError(
                f'{origin}: must be a rule such as {{ min = 3, max = 10, until = "decided" }} (got {shown(content)}); '
                "for fixed seeds use grid.seed = [0, 1, 2]"
            )
        rule: SeedRule = checked(SeedRule, content, where=origin)
        if "seed" in self.file.grid:
            raise InputError(f"{origin}: also set by {self.where}: grid.seed; keep one of the two")
        if any("seed" in table for table in self.file.exclude):
            raise InputError(f"{self.where}: exclude: seed: also set by {origin}; keep one of the two")
        return None if "seed" in self.flags.grid else rule

    def _axes(self) -> dict[str, list[Override]]:
        """Return the values of each axis: of the file in its order, then of flags, then defaults."""
        tied = self._tied()
        values = {path: value for path, value in self.file.grid.items() if path != "zip"} | dict(self.flags.grid)
        axes: dict[str, list[Override]] = {}
        named = [*values, *(path for _, path, _, _ in tied)]
        defaults = {key: value for key, value in DEFAULT_AXES.items() if key not in named}
        if self.rule is not None:
            defaults["seed"] = list(range(self.rule.min))
        known = [*DEFAULT_AXES, "recipe", "protocol", *ALIASES, *dotted_paths()]
        entered = [
            (None, path, value, f"--{path}" if path in self.flags.grid else f"{self.where}: grid.{quoted(path)}")
            for path, value in {**values, **defaults}.items()
        ]
        for tie, path, value, origin in [*entered[: len(values)], *tied, *entered[len(values) :]]:
            if path == "seeds":
                raise InputError(
                    f"{origin}: write the seed rule above [grid], as seeds; for fixed seeds use grid.seed = [0, 1, 2]"
                )
            check_path(path, origin, known=known, arguments=self.arguments)
            if isinstance(value, dict) and "name" not in value and any(name.startswith(path + ".") for name in known):
                raise InputError(
                    f"{origin}: must be a name or a list of names (got {shown(value)}); "
                    f'put the key of a field in quotes: "{path}.{next(iter(value), "field")}"'
                )
            entries = axis_values(path, value, origin)
            if is_list(path) and entries == [value]:
                self.notes.append(f"{origin}: {shown(value)} is one value; write several values as a list of lists")
            if not entries:
                raise InputError(f"{origin}: empty list; give at least one value or remove the key")
            if tie is None and (repeated := repetitions(entries)):
                self.notes.append(f"{origin}: listed more than once: {', '.join(map(shown, repeated))}")
            axis = ALIASES.get(path, path)
            if axis in axes:
                raise InputError(f"{origin}: also set by {axes[axis][0].origin}; keep one of the two")
            if axis == "recipe" and self.flags.recipe:
                raise InputError(f"{origin}: also set by --recipe; keep one of the two")
            if axis in self.settings and (axis != "protocol" or self.settings[axis].origin == "--protocol"):
                raise InputError(f"{origin}: also set by {self.settings[axis].origin}; keep one of the two")
            axes[axis] = [Override(entry, origin) for entry in entries]
            if tie is not None:
                self.ties[axis] = tie
        self._check_ties(axes)
        return axes

    def _tied(self) -> list[tuple[int, str, Value, str]]:
        """Return (number of the table, path, values, origin) of the axes of each [[grid.zip]] table."""
        tables = self.file.grid.get("zip", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise InputError(f"{self.where}: grid.zip: must be tables, each as [[grid.zip]] (got {shown(tables)})")
        entries = []
        for number, table in enumerate(tables):
            where = f"{self.where}: grid.zip[{number}]"
            if len(table) < 2:
                raise InputError(f"{where}: must tie two or more axes (got {shown(list(table))})")
            for path, value in table.items():
                origin = f"{where}.{quoted(path)}"
                if path == "seed":
                    raise InputError(
                        f"{origin}: seeds cannot be tied, as methods are compared over them; use grid.seed"
                    )
                if not isinstance(value, list):
                    raise InputError(f"{origin}: must be a list, as long as those it is tied to (got {shown(value)})")
                if path in self.flags.grid:
                    raise InputError(f"--{path}: also set by {origin}; keep one of the two")
                entries.append((number, path, value, origin))
        return entries

    def _check_ties(self, axes: Mapping[str, list[Override]]) -> None:
        """Raise InputError for tied axes of different lengths."""
        for number in set(self.ties.values()):
            lengths = {path: len(axes[path]) for path, tie in self.ties.items() if tie == number}
            if len(set(lengths.values())) > 1:
                text = ", ".join(f"{length} {path}" for path, length in lengths.items())
                raise InputError(f"{self.where}: grid.zip[{number}]: lists must be equally long (got {text})")


def repetitions(entries: Iterable[Value]) -> list[Value]:
    """Return up to three entries that occur again, in order."""
    counts = Counter(json.dumps(entry, default=str) for entry in entries)
    return [json.loads(text) for text, count in counts.items() if count > 1][:3]


def matches(cell: Mapping[str, Override], table: Mapping[str, Value]) -> bool:
    """Return whether a cell has all values of an `[[exclude]]` table; a list matches itself or any of its values."""

    def same(value: Value, excluded: Value) -> bool:
        if isinstance(value, dict):
            value = value.get("label", value.get("name"))
        return bool(value == excluded) or (isinstance(excluded, list) and value in excluded)

    return all(same(cell[ALIASES.get(key, key)].value, excluded) for key, excluded in table.items())
