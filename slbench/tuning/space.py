"""Search space of a method: parameters, ranges and start values."""

import itertools
import json
import math
import random
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slbench.errors import InputError
from slbench.methods import Method
from slbench.recipes import Recipe
from slbench.spec import RunSpec
from slbench.text import choices
from slbench.tuning.target import WHERE, TuningTarget

Value = float | int | str | bool
TEMPERATURE, SHIFT, LR = "method.initial_temperature", "method.shift_pixels", "recipe.lr"
LOWEST, HIGHEST = 0.1, 4.0  # of the initial temperature, in multiples of sqrt(d_k)
TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # grid points
LR_SPAN = 10.0  # learning rate range: default / LR_SPAN to default * LR_SPAN
DIGITS = 3  # significant digits of a number in a setting
NEAR = 0.05  # share of the range by which a repeated number is perturbed
FIXED = {"recipe.epochs": "it sets the length of a trial, and trials are compared by epoch"}


@dataclass(frozen=True)
class Parameter:
    """Parameter of a search: a range of numbers, or choices."""

    path: str  # field path: "method.initial_temperature"
    start: Value  # default: the paper's value, unless changed by the user
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    whole: bool = False
    choices: tuple[Value, ...] = ()
    grid: tuple[Value, ...] = ()  # points of --sampler grid

    @property
    def values(self) -> tuple[Value, ...] | None:
        """Return all possible values; None for a range of real numbers."""
        if self.choices:
            return self.choices
        return tuple(range(int(self.low or 0), int(self.high or 0) + 1)) if self.whole else None

    @property
    def ends(self) -> tuple[Value, ...]:
        """Return the values to validate: choices, or both ends of the range."""
        assert self.choices or (self.low is not None and self.high is not None)
        return self.choices or (self.low, self.high)  # type: ignore[return-value]

    def holds(self, value: Any) -> bool:
        """Return whether the parameter allows a value."""
        if self.values is not None:
            return any(
                value == allowed and isinstance(value, bool) == isinstance(allowed, bool) for allowed in self.values
            )
        return (
            isinstance(value, int | float)
            and self.low is not None
            and self.high is not None
            and self.low <= value <= self.high
        )

    def setting(self, value: Value) -> Value:
        """Return a value as used by runs, rounded unless it is the default."""
        is_real = self.values is None and isinstance(value, float | int) and value != self.start
        return rounded(value) if is_real else value  # type: ignore[arg-type]

    def near(self, value: Value, generator: random.Random) -> Value:
        """Return a real number perturbed at random; other values unchanged."""
        if self.values is not None or self.low is None or self.high is None or isinstance(value, str):
            return value
        move = generator.gauss(0, NEAR)
        moved = value * (self.high / self.low) ** move if self.log else value + (self.high - self.low) * move
        return rounded(min(max(moved, self.low), self.high))

    @property
    def description(self) -> str:
        """Return a description such as "method.shift_pixels: 4 settings, 1 to 4, from 2"."""
        if self.choices:
            what = f"{len(self.choices)} settings, {', '.join(map(as_text, self.choices))}"
        elif self.whole:
            what = f"{len(self.values or ())} settings, {self.low} to {self.high}"
        else:
            what = f"{as_text(self.low)} to {as_text(self.high)}{', logarithmic' if self.log else ''}"
        return f"{self.path}: {what}, from {as_text(self.start)}"


@dataclass(frozen=True)
class Space:
    """All settings of a search."""

    parameters: tuple[Parameter, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)  # skipped parameters, with reasons

    @property
    def start(self) -> dict[str, Value]:
        """Return the default setting."""
        return {parameter.path: parameter.start for parameter in self.parameters}

    @property
    def size(self) -> int | None:
        """Return the number of settings; None if infinite."""
        counts = [None if parameter.values is None else len(parameter.values) for parameter in self.parameters]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    def settings(self) -> Iterator[dict[str, Value]]:
        """Yield every setting of a finite space."""
        for values in itertools.product(*(parameter.values or () for parameter in self.parameters)):
            yield self._named(values)

    def grid(self) -> list[dict[str, Value]]:
        """Return the grid points, default setting first."""
        axes = [parameter.grid for parameter in self.parameters]
        points = [self._named(values) for values in itertools.product(*axes)]
        return [self.start, *(point for point in points if point != self.start)]

    def setting(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return the values as used by runs."""
        return {parameter.path: parameter.setting(values[parameter.path]) for parameter in self.parameters}

    def changes(self, setting: Mapping[str, Value]) -> dict[str, Value]:
        """Return the values that differ from the default, so that the default setting is the method's own run."""
        return {path: value for path, value in setting.items() if value != self.start[path]}

    def near(self, setting: Mapping[str, Value], generator: random.Random) -> dict[str, Value]:
        """Return a setting with every real number perturbed by about NEAR of its range."""
        return {parameter.path: parameter.near(setting[parameter.path], generator) for parameter in self.parameters}

    def content(self) -> list[dict[str, Any]]:
        """Return the space as JSON content, which identifies a search."""
        return [
            {
                "path": parameter.path,
                "start": parameter.start,
                "low": parameter.low,
                "high": parameter.high,
                "log": parameter.log,
                "choices": list(parameter.choices),
            }
            for parameter in self.parameters
        ]

    def _named(self, values: Sequence[Value]) -> dict[str, Value]:
        return {parameter.path: value for parameter, value in zip(self.parameters, values, strict=True)}


def default_parameters(spec: RunSpec, *, with_lr: bool) -> list[Parameter]:
    """Return the default parameters of a method: learned temperature, shift and, on request, learning rate."""
    parameters = list[Parameter]()
    if spec.method.learn_temperature:
        parameters.append(
            Parameter(TEMPERATURE, spec.method.initial_temperature, LOWEST, HIGHEST, log=True, grid=TEMPERATURES)
        )
    if spec.method.shift != "none":
        max_shift = widest_shift(spec)
        pixels = tuple(range(1, max_shift + 1))
        parameters.append(Parameter(SHIFT, default_shift(spec), 1, max_shift, whole=True, grid=pixels))
    if with_lr:
        rate = spec.recipe.lr
        assert rate is not None, "a resolved recipe has a rate"
        parameters.append(
            Parameter(
                LR, rate, rate / LR_SPAN, rate * LR_SPAN, log=True, grid=(rounded(rate / 3), rate, rounded(3 * rate))
            )
        )
    return [parameter for parameter in parameters if parameter.values is None or len(parameter.values) > 1]


def default_shift(spec: RunSpec) -> int:
    """Return the default shift of a method in pixels."""
    return spec.method.pixels(spec.backbone.shift_unit)


def widest_shift(spec: RunSpec) -> int:
    """Return the largest searched shift in pixels: one patch, or the side of a soft split."""
    return max(1, min(spec.backbone.token_side, *(side - 1 for side in spec.dataset.image_size)))


def check_space(target: TuningTarget, parameters: Sequence[Parameter], origins: Mapping[str, str]) -> None:
    """Raise InputError if a default is outside its range, or an end of a range is invalid.

    Args:
        origins: source of each parameter by path, for messages.
    """
    plain = target.spec()
    for parameter in parameters:
        path, default = parameter.path, parameter.start
        origin = origins.get(path, f"{WHERE}: {path}")
        if not parameter.holds(default):
            raise InputError(
                f"{origin}: excludes {as_text(default)}, the default of '{target.method}' and start of the search; "
                "widen the range, or set another default with --set"
            )
        for value in parameter.ends:
            try:
                spec = target.spec({path: value} if value != default else {})
            except InputError as error:
                problem = str(error).removeprefix(f"{WHERE}: ").removeprefix(f"--set {path}: ")
                raise InputError(f"{origin}: {as_text(value)}: {problem}") from error
            if value != default and spec == plain:
                raise InputError(
                    f"{origin}: has the same run as the default of '{target.method}' (got {as_text(value)})"
                )


def field_types(path: str) -> set[Any]:
    """Return the types of a field of a run. Raises InputError for a path that cannot be searched."""
    kinds: dict[str, Any] = {"method": Method, "recipe": Recipe}
    hints = {
        f"{head}.{name}": hint for head, kind in kinds.items() for name, hint in typing.get_type_hints(kind).items()
    }
    if path not in hints:
        known = [name for name in hints if name.startswith(path.partition(".")[0] + ".")] or list(hints)
        raise InputError(f"unknown parameter{choices(known, path)}")
    if path in FIXED:
        raise InputError(f"cannot be searched: {FIXED[path]}")
    return set(flat_types(hints[path]))


def flat_types(hint: Any) -> Iterator[Any]:
    """Yield the types in a union or literal."""
    if typing.get_origin(hint) is typing.Literal:
        yield from (type(value) for value in typing.get_args(hint))
    elif typing.get_args(hint) and typing.get_origin(hint) is not tuple:
        for part in typing.get_args(hint):
            yield from flat_types(part)
    else:
        yield typing.get_origin(hint) or hint


def rounded(value: float) -> float:
    """Return a number rounded to DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def as_text(value: Any) -> str:
    """Return a value as text."""
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
