"""The axes of a study's grid, its settings beside them, and the cells that they make up."""

import itertools
import json
from collections.abc import Iterable, Mapping

from slbench.data import DEFAULT_DATASET
from slbench.errors import InputError
from slbench.names import suggestion
from slbench.study.file import Flags, StudyFile, Value
from slbench.study.paths import (
    ALIASES,
    axis_values,
    by_full_path,
    check_path,
    dotted_paths,
    flattened,
    is_list,
    quoted,
    takes_list,
)
from slbench.study.runs import SeedRule
from slbench.validation import Override, checked, shown

DEFAULT_AXES: dict[str, list[str] | list[int]] = {
    "backbone": ["vit"],
    "dataset": [DEFAULT_DATASET],
    "method": ["none", "spt", "lsa", "both"],
    "seed": [0],
}


class Grid:
    """What varies in a study, and what is set for all of it; each value with where it was written."""

    def __init__(self, file: StudyFile, *, where: str, flags: Flags) -> None:
        self.file, self.where, self.flags = file, where, flags
        self.notes: list[str] = []  # how a value was read, where it could be meant otherwise
        self.settings = self._settings()
        self.rule = self._rule()
        self.axes = self._axes()

    def cells(self) -> Iterable[dict[str, Override]]:
        """The product of the axes, less what is excluded. An exclusion that matches nothing is an error."""
        for table in self.file.exclude:
            for key in table:
                if ALIASES.get(key, key) not in self.axes:
                    raise InputError(
                        f"{self.where}: exclude: '{key}' is no axis of this grid{suggestion(key, self.axes)}"
                    )
        unused = dict(enumerate(self.file.exclude))
        for combination in itertools.product(*self.axes.values()):
            cell = dict(zip(self.axes, combination, strict=True))
            matching = [number for number, table in enumerate(self.file.exclude) if matches(cell, table)]
            for number in matching:
                unused.pop(number, None)
            if not matching:
                yield cell
        if unused and not self.flags.grid:
            first = json.dumps(next(iter(unused.values())), default=str)
            raise InputError(f"{self.where}: exclude: {first} matches no cell of the grid")

    def other_axes(self, cell: Mapping[str, Override]) -> tuple[str, ...]:
        """A cell's values on axes of several, but for those that labels name and the seed."""
        several = [path for path, values in self.axes.items() if len(values) > 1 and path not in DEFAULT_AXES]
        return tuple(f"{path} {shown(cell[path].value)}" for path in several)

    def _settings(self) -> dict[str, Override]:
        """Every override by dotted path; a flag wins over the file."""
        of_file = {
            path: Override(value, f"{self.where}: set.{path}") for path, value in flattened(self.file.set).items()
        }
        of_flags = {path: Override(value, f"--set {path}") for path, value in self.flags.set.items()}
        for path, setting in [*of_file.items(), *of_flags.items()]:
            check_path(path, setting.origin, known=[*ALIASES, "protocol", *dotted_paths()])
            if isinstance(setting.value, list) and not takes_list(path):
                raise InputError(f"{setting.origin}: a list makes an axis: write it under [grid] of a study file")
        of_file, of_flags = by_full_path(of_file), by_full_path(of_flags)
        if self.file.precision is not None:
            if "recipe.precision" in of_file:
                other = of_file["recipe.precision"].origin
                raise InputError(f"{self.where}: precision: also set by {other}: keep one of the two")
            of_file["recipe.precision"] = Override(self.file.precision, f"{self.where}: precision")
        of_file.setdefault("protocol", Override(self.file.protocol, f"{self.where}: protocol"))
        if self.flags.protocol is not None:
            of_flags["protocol"] = Override(self.flags.protocol, "--protocol")
        return {**of_file, **of_flags}

    def _rule(self) -> SeedRule | None:
        """The rule of seeds, unless flags give seeds in its place."""
        given, origin = self.file.seeds, f"{self.where}: seeds"
        if given is None:
            return None
        if not isinstance(given, dict):
            raise InputError(
                f'{origin}: must be a rule such as {{ min = 3, max = 10, until = "decided" }}, got {shown(given)}; '
                "fixed seeds are grid.seed = [0, 1, 2]"
            )
        rule: SeedRule = checked(SeedRule, given, where=origin)
        if "seed" in self.file.grid:
            raise InputError(f"{origin}: also set by {self.where}: grid.seed: keep one of the two")
        if any("seed" in table for table in self.file.exclude):
            raise InputError(f"{self.where}: exclude: 'seed' is what the rule of {origin} decides: keep one of the two")
        return None if "seed" in self.flags.grid else rule

    def _axes(self) -> dict[str, list[Override]]:
        """Values of each axis: those of the file in its order, then those of flags, then defaults."""
        given = {**self.file.grid, **self.flags.grid}
        axes: dict[str, list[Override]] = {}
        defaults = {key: value for key, value in DEFAULT_AXES.items() if key not in given}
        if self.rule is not None:
            defaults["seed"] = list(range(self.rule.min))
        known = [*DEFAULT_AXES, "recipe", "protocol", *ALIASES, *dotted_paths()]
        for path, value in {**given, **defaults}.items():
            origin = f"--{path}" if path in self.flags.grid else f"{self.where}: grid.{quoted(path)}"
            if path == "seeds":
                raise InputError(
                    f"{origin}: a rule of seeds stands above [grid]; fixed seeds are grid.seed = [0, 1, 2]"
                )
            check_path(path, origin, known=known)
            if isinstance(value, dict) and "name" not in value and any(each.startswith(path + ".") for each in known):
                raise InputError(
                    f"{origin}: must be a name or a list of names, got {shown(value)}; "
                    f'the key of a field is in quotes: "{path}.{next(iter(value), "field")}"'
                )
            entries = axis_values(path, value, origin)
            if is_list(path) and entries == [value]:
                self.notes.append(f"{origin}: {shown(value)} is one value; write several as a list of lists")
            if not entries:
                raise InputError(f"{origin}: an empty list leaves no run: give at least one value or drop the key")
            axis = ALIASES.get(path, path)
            if axis == "recipe" and self.flags.recipe:
                raise InputError(f"{origin}: also set by --recipe: keep one of the two")
            if axis in self.settings and (axis != "protocol" or self.settings[axis].origin == "--protocol"):
                raise InputError(f"{origin}: also set by {self.settings[axis].origin}: keep one of the two")
            axes[axis] = [Override(entry, origin) for entry in entries]
        return axes


def matches(cell: Mapping[str, Override], table: Mapping[str, Value]) -> bool:
    """Return whether a cell has all the values of an `[[exclude]]` table; a list there means any of them, or itself."""

    def same(value: Value, wanted: Value) -> bool:
        if isinstance(value, dict):
            value = value.get("label", value.get("name"))
        return bool(value == wanted) or (isinstance(wanted, list) and value in wanted)

    return all(same(cell[ALIASES.get(key, key)].value, wanted) for key, wanted in table.items())
