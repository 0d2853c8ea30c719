"""A search file: TOML that says what a search may change.

defaults = false                    # leave out the row's own parameters; unless given they are searched too

[method.initial_temperature]
low = 0.25
high = 2.0
log = true
grid = [0.25, 0.5, 1.0, 2.0]        # the points of --sampler grid; unless given, five from low to high

[method.shift]
choices = ["diagonal", "cardinal"]
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from slbench.errors import InputError
from slbench.study.resolve import NEEDED_BY
from slbench.tuning.space import (
    SHIFT,
    Parameter,
    Space,
    Value,
    as_text,
    check_space,
    default_parameters,
    field_types,
    own_shift,
    rounded,
)
from slbench.tuning.target import TuningTarget
from slbench.validation import checked, shown

KEYS = {"low", "high", "log", "choices", "grid"}
RATIO = "method.shift_ratio"
EVENLY = 5  # points of a grid in a range that names none


class Range(BaseModel):
    """What a search file says of one parameter."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[bool | int | float | str] | None = None
    grid: list[bool | int | float | str] | None = None


class SearchFile:
    """The parameters of a search file, checked as far as they can be without a row."""

    def __init__(self, ranges: Mapping[str, Range], origins: Mapping[str, str], *, defaults: bool) -> None:
        self.ranges, self.origins, self.defaults = ranges, origins, defaults


NOTHING = SearchFile({}, {}, defaults=True)


def load_search_file(path: Path) -> SearchFile:
    """The ranges of a search file, by the path of the field that they are of.

    Raises:
        InputError: for anything wrong in it, as `file: parameter: what, what was got, what is allowed`.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
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
        raise InputError(f'{path}: names no parameter: give a table such as ["method.initial_temperature"]')
    return SearchFile(ranges, origins, defaults=defaults)


def tables(content: Mapping[str, Any], where: str, head: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The table of each parameter by its dotted path, however it is nested."""
    for key, value in content.items():
        if not isinstance(value, dict):
            raise InputError(f"{where}: {head}{key}: must be a table with low and high, or choices, got {shown(value)}")
        if set(value) & KEYS or not value:
            yield head + key, value
        else:
            yield from tables(value, where, f"{head}{key}.")


def check_range(path: str, given: Range) -> None:
    """Raise InputError for a range that is empty, or of another type than its field."""
    types = field_types(path)
    if (given.choices is None) == (given.low is None and given.high is None):
        raise InputError("give low and high, or choices")
    if given.choices is not None:
        if len(set(map(repr, given.choices))) < 2:
            raise InputError(f"choices {shown(given.choices)} leave nothing to search: give two or more")
        return
    if given.low is None or given.high is None:
        raise InputError(f"is missing its {'low' if given.low is None else 'high'}")
    if not types & {int, float}:
        raise InputError("is no number: give choices")
    if path == RATIO:
        raise InputError(f"ratios between two pixels are one network: give choices, or search {SHIFT}")
    if given.low >= given.high:
        raise InputError(f"low {given.low:g} must be below high {given.high:g}")
    if given.log and given.low <= 0:
        raise InputError(f"low {given.low:g} must be above 0 on a logarithmic scale")
    if float not in types and (given.low % 1 or given.high % 1):
        raise InputError(f"takes whole numbers, got {given.low:g} to {given.high:g}")


def space_of(subject: TuningTarget, file: SearchFile = NOTHING, *, with_lr: bool = False, alone: bool = True) -> Space:
    """All that a search may change of a row: what is its own, and what a search file adds or narrows.

    Args:
        alone: no other row is searched beside it, so that what it does not have is a mistake, and not left out.
    Raises:
        InputError: if nothing is left to search, or a parameter means nothing for the row or makes no run.
    """
    spec = subject.spec()
    notes = list[str]()
    found = {each.path: each for each in default_parameters(spec, with_lr=with_lr)} if file.defaults or with_lr else {}
    if not file.defaults:
        found = {path: each for path, each in found.items() if path.startswith("recipe.")}
    if RATIO in file.ranges:
        found.pop(SHIFT, None)
    for path, given in file.ranges.items():
        needed = NEEDED_BY.get(path.removeprefix("method."), "")
        if needed and f"method.{needed}" not in file.ranges and getattr(spec.method, needed) in ("none", False):
            words = f"{file.origins[path]}: '{subject.method}' has no {needed}, so there is nothing to search"
            if alone:
                raise InputError(words)
            notes.append(f"{words}: left out there")
            continue
        found[path] = parameter_of(path, given, start_of(path, spec, file.origins[path]), origin=file.origins[path])
    if not found:
        raise InputError(
            f"'{subject.method}' has neither a learned temperature nor a shift to tune: "
            "add --with-lr, or name parameters in a search file (--search)"
        )
    check_space(subject, list(found.values()), file.origins)
    return Space(tuple(found.values()), tuple(notes))


def start_of(path: str, spec: Any, origin: str) -> Value:
    """What a row has by itself. Raises InputError if that is no value that could be one of a range."""
    head, _, name = path.partition(".")
    start = own_shift(spec) if path == SHIFT else getattr(getattr(spec, head), name)
    if not isinstance(start, float | int | str | bool):
        raise InputError(
            f"{origin}: the row has {as_text(start)} by itself, which is no value to start from: "
            f"give it one with --set {path}=VALUE"
        )
    return start


def parameter_of(path: str, given: Range, start: Value, *, origin: str) -> Parameter:
    """A parameter of a search file. Raises InputError for a point of the grid outside it."""
    if given.choices is not None:
        choices = tuple(dict.fromkeys(given.choices))
        found = Parameter(path, start, choices=choices, grid=tuple(given.grid or choices))
    else:
        assert given.low is not None and given.high is not None
        whole = float not in field_types(path)
        low, high = (int(given.low), int(given.high)) if whole else (given.low, given.high)
        points = tuple(given.grid or evenly(low, high, log=given.log, whole=whole))
        found = Parameter(path, start, low, high, log=given.log, whole=whole, grid=points)
    for point in found.grid:
        if not found.holds(point):
            raise InputError(f"{origin}: grid: {as_text(point)} is outside of what is searched")
    return found


def evenly(low: float, high: float, *, log: bool, whole: bool) -> Sequence[Value]:
    """Points of a grid from one end of a range to the other."""
    if whole and high - low < EVENLY:
        return list(range(int(low), int(high) + 1))
    shares = [step / (EVENLY - 1) for step in range(EVENLY)]
    points = [low * (high / low) ** share if log else low + (high - low) * share for share in shares]
    return list(dict.fromkeys(round(point) if whole else rounded(point) for point in points))
