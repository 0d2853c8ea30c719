"""Search file: TOML with the parameters of a search.

defaults = false                    # do not search the method's default parameters; default: true

[method.initial_temperature]
low = 0.25
high = 2.0
log = true
grid = [0.25, 0.5, 1.0, 2.0]        # points of --sampler grid; default: five from low to high

[method.shift]
choices = ["diagonal", "cardinal"]
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from slbench.errors import InputError, unreadable
from slbench.study.resolve import NEEDED_BY
from slbench.text import shown
from slbench.toml_text import read_toml
from slbench.tuning.space import (
    SHIFT,
    Parameter,
    Space,
    Value,
    as_text,
    check_space,
    default_parameters,
    default_shift,
    field_types,
    rounded,
)
from slbench.tuning.target import TuningTarget
from slbench.validation import checked

KEYS = {"low", "high", "log", "choices", "grid"}
RATIO = "method.shift_ratio"
DEFAULT_POINTS = 5  # of a grid
MAX_SETTINGS = 1_000_000  # of a whole number: all are listed to find untried ones


class Range(BaseModel):
    """One parameter of a search file."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[bool | int | float | str] | None = None
    grid: list[bool | int | float | str] | None = None


class SearchFile:
    """Parameters of a search file, checked independently of a method."""

    def __init__(self, ranges: Mapping[str, Range], origins: Mapping[str, str], *, defaults: bool) -> None:
        self.ranges, self.origins, self.defaults = ranges, origins, defaults


NOTHING = SearchFile({}, {}, defaults=True)


def load_search_file(path: Path) -> SearchFile:
    """Return the ranges of a search file by field path.

    Raises:
        InputError: for invalid content, as `file: parameter: problem (got X); allowed: ...`.
    """
    try:
        content = read_toml(path)
    except FileNotFoundError as error:
        raise unreadable(path, error) from error
    defaults = checked(bool, content.pop("defaults", True), where=f"{path}: defaults")
    ranges, origins = dict[str, Range](), dict[str, str]()
    for name, table in tables(content, str(path)):
        origin = f"{path}: {name}"
        ranges[name] = checked(Range, table, where=origin)
        origins[name] = origin
        try:
            check_range(name, ranges[name])
        except InputError as error:
            raise InputError(f"{origin}: {error}") from error
    if not ranges:
        raise InputError(f'{path}: no parameter; add a table such as ["method.initial_temperature"]')
    return SearchFile(ranges, origins, defaults=defaults)


def tables(content: Mapping[str, Any], where: str, head: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield dotted path and table of each parameter, at any nesting."""
    for key, value in content.items():
        if not isinstance(value, dict):
            raise InputError(
                f"{where}: {head}{key}: must be a table with low and high, or choices (got {shown(value)})"
            )
        if set(value) & KEYS or not value:
            yield head + key, value
        else:
            yield from tables(value, where, f"{head}{key}.")


def check_range(path: str, limits: Range) -> None:
    """Raise InputError for an empty range or a type that differs from the field."""
    types = field_types(path)
    if (limits.choices is None) == (limits.low is None and limits.high is None):
        raise InputError("low and high, or choices, must be set")
    if limits.choices is not None:
        if len(set(map(repr, limits.choices))) < 2:
            raise InputError(f"choices: must have two or more values (got {shown(limits.choices)})")
        return
    if limits.low is None or limits.high is None:
        raise InputError(f"{'low' if limits.low is None else 'high'}: is missing")
    if not types & {int, float}:
        raise InputError("not a number; use choices in place of low and high")
    if path == RATIO:
        raise InputError(f"ratios that round to equal pixels are one network; use choices, or search {SHIFT}")
    if limits.low >= limits.high:
        raise InputError(f"low: must be below high = {limits.high:g} (got {limits.low:g})")
    if limits.log and limits.low <= 0:
        raise InputError(f"low: must be above 0 on a logarithmic scale (got {limits.low:g})")
    if float not in types and (limits.low % 1 or limits.high % 1):
        raise InputError(f"must be whole numbers (got {limits.low:g} to {limits.high:g})")
    if float not in types and not limits.high - limits.low < MAX_SETTINGS:
        raise InputError(
            f"high: too many whole numbers (got {limits.low:g} to {limits.high:g}); allowed: {MAX_SETTINGS:,}"
        )


def space_of(target: TuningTarget, file: SearchFile = NOTHING, *, with_lr: bool = False, alone: bool = True) -> Space:
    """Return the search space of a method: its default parameters, extended or narrowed by a search file.

    Args:
        alone: no other method is searched, so an inapplicable parameter is an error and not skipped.
    Raises:
        InputError: if the space is empty, or a parameter is inapplicable or invalid.
    """
    spec = target.spec()
    notes = list[str]()
    defaults = default_parameters(spec, with_lr=with_lr) if file.defaults or with_lr else []
    parameters = {parameter.path: parameter for parameter in defaults}
    if not file.defaults:
        parameters = {path: parameter for path, parameter in parameters.items() if path.startswith("recipe.")}
    if RATIO in file.ranges:
        parameters.pop(SHIFT, None)
    for path, limits in file.ranges.items():
        needed = NEEDED_BY.get(path.removeprefix("method."), "")
        if needed and f"method.{needed}" not in file.ranges and getattr(spec.method, needed) in ("none", False):
            problem = f"{file.origins[path]}: '{target.method}' has no {needed}; nothing to search"
            if alone:
                raise InputError(problem)
            notes.append(f"{problem}; skipped for it")
            continue
        parameters[path] = parameter_of(
            path, limits, default_of(path, spec, file.origins[path]), origin=file.origins[path]
        )
    if not parameters:
        raise InputError(
            f"--method: no learned temperature and no shift to tune (got {shown(target.method)}); "
            "add --with-lr, or a search file with --search"
        )
    check_space(target, list(parameters.values()), file.origins)
    return Space(tuple(parameters.values()), tuple(notes))


def default_of(path: str, spec: Any, origin: str) -> Value:
    """Return the default value of a parameter. Raises InputError if it cannot be a value of a range."""
    head, _, name = path.partition(".")
    start = default_shift(spec) if path == SHIFT else getattr(getattr(spec, head), name)
    if not isinstance(start, float | int | str | bool):
        raise InputError(
            f"{origin}: default cannot start a search (got {as_text(start)}); set a value with --set {path}=VALUE"
        )
    return start


def parameter_of(path: str, limits: Range, start: Value, *, origin: str) -> Parameter:
    """Return a parameter of a search file. Raises InputError for a grid point outside its range."""
    if limits.choices is not None:
        choices = tuple(dict.fromkeys(limits.choices))
        parameter = Parameter(path, start, choices=choices, grid=tuple(limits.grid or choices))
    else:
        assert limits.low is not None and limits.high is not None
        whole = float not in field_types(path)
        low, high = (int(limits.low), int(limits.high)) if whole else (limits.low, limits.high)
        points = tuple(limits.grid or grid_points(low, high, log=limits.log, whole=whole))
        parameter = Parameter(path, start, low, high, log=limits.log, whole=whole, grid=points)
    for point in parameter.grid:
        if not parameter.holds(point):
            raise InputError(f"{origin}: grid: outside the range (got {as_text(point)}); allowed: {low:g} to {high:g}")
    return parameter


def grid_points(low: float, high: float, *, log: bool, whole: bool) -> Sequence[Value]:
    """Return evenly spaced grid points of a range, ends included."""
    if whole and high - low < DEFAULT_POINTS:
        return list(range(int(low), int(high) + 1))
    shares = [step / (DEFAULT_POINTS - 1) for step in range(DEFAULT_POINTS)]
    points = [low * (high / low) ** share if log else low + (high - low) * share for share in shares]
    return list(dict.fromkeys(round(point) if whole else rounded(point) for point in points))
