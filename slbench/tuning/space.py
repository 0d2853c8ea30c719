"""What a search may change of a row: its parameters, their ranges, and where each starts."""

import itertools
import json
import math
import random
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slbench.backbones.specs import T2TSpec
from slbench.errors import InputError
from slbench.methods import Method
from slbench.names import suggestion
from slbench.recipes import Recipe
from slbench.spec import RunSpec
from slbench.tuning.target import WHERE, TuningTarget

Value = float | int | str | bool
TEMPERATURE, SHIFT, LR = "method.initial_temperature", "method.shift_pixels", "recipe.lr"
LOWEST, HIGHEST = 0.1, 4.0  # of the initial temperature, in multiples of sqrt(d_k)
TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # of a grid
LR_SPAN = 10.0  # the learning rate is searched from a tenth to ten times its own
DIGITS = 3  # that a number of a setting has; finer differences are noise to a network
NEAR = 0.05  # of a range: how far a number is moved that was tried before
SOFT_SPLIT = 3  # px that a token of the first soft split (T2T) is wide: what a patch is elsewhere
FIXED = {"recipe.epochs": "a trial's length, by which trials are compared epoch by epoch"}


@dataclass(frozen=True)
class Parameter:
    """One thing that a search changes: a range of numbers, or choices."""

    path: str  # of a run's field: "method.initial_temperature"
    start: Value  # what the row has by itself: the paper's, unless the user set another
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    whole: bool = False
    choices: tuple[Value, ...] = ()
    grid: tuple[Value, ...] = ()  # the points of --sampler grid

    @property
    def values(self) -> tuple[Value, ...] | None:
        """All that it can be, None for a range of real numbers."""
        if self.choices:
            return self.choices
        return tuple(range(int(self.low or 0), int(self.high or 0) + 1)) if self.whole else None

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that stand for all when they are checked."""
        assert self.choices or (self.low is not None and self.high is not None)
        return self.choices or (self.low, self.high)  # type: ignore[return-value]

    def holds(self, value: Any) -> bool:
        """Whether a value is one of its own."""
        if self.values is not None:
            return any(value == own and isinstance(value, bool) == isinstance(own, bool) for own in self.values)
        return (
            isinstance(value, int | float)
            and self.low is not None
            and self.high is not None
            and self.low <= value <= self.high
        )

    def setting(self, value: Value) -> Value:
        """A value as a run gets it."""
        is_real = self.values is None and isinstance(value, float | int) and value != self.start
        return rounded(value) if is_real else value  # type: ignore[arg-type]

    def near(self, value: Value, chance: random.Random) -> Value:
        """A value moved by chance, if it is a real number."""
        if self.values is not None or self.low is None or self.high is None or isinstance(value, str):
            return value
        move = chance.gauss(0, NEAR)
        moved = value * (self.high / self.low) ** move if self.log else value + (self.high - self.low) * move
        return rounded(min(max(moved, self.low), self.high))

    @property
    def words(self) -> str:
        """The parameter in a line: "method.shift_pixels: 4 settings, 1 to 4, from 2"."""
        if self.choices:
            what = f"{len(self.choices)} settings, {', '.join(map(as_text, self.choices))}"
        elif self.whole:
            what = f"{len(self.values or ())} settings, {self.low} to {self.high}"
        else:
            what = f"{as_text(self.low)} to {as_text(self.high)}{', logarithmic' if self.log else ''}"
        return f"{self.path}: {what}, from {as_text(self.start)}"


@dataclass(frozen=True)
class Space:
    """All settings of a row that a search may try."""

    parameters: tuple[Parameter, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was left out, and why

    @property
    def start(self) -> dict[str, Value]:
        """The row's own setting."""
        return {parameter.path: parameter.start for parameter in self.parameters}

    @property
    def size(self) -> int | None:
        """How many settings there are; None if they cannot be counted."""
        counts = [None if parameter.values is None else len(parameter.values) for parameter in self.parameters]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    def settings(self) -> Iterator[dict[str, Value]]:
        """Every setting of a space that can be counted."""
        for values in itertools.product(*(parameter.values or () for parameter in self.parameters)):
            yield self._named(values)

    def grid(self) -> list[dict[str, Value]]:
        """The points of a grid, the row's own first."""
        axes = [parameter.grid for parameter in self.parameters]
        points = [self._named(values) for values in itertools.product(*axes)]
        return [self.start, *(point for point in points if point != self.start)]

    def setting(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Values as runs get them."""
        return {parameter.path: parameter.setting(values[parameter.path]) for parameter in self.parameters}

    def changes(self, setting: Mapping[str, Value]) -> dict[str, Value]:
        """What a setting changes of the row: all that is not as it starts, so that the start is the row's own run."""
        return {path: value for path, value in setting.items() if value != self.start[path]}

    def near(self, setting: Mapping[str, Value], chance: random.Random) -> dict[str, Value]:
        """A setting with every real number moved by chance, a twentieth of its range or so."""
        return {parameter.path: parameter.near(setting[parameter.path], chance) for parameter in self.parameters}

    def content(self) -> list[dict[str, Any]]:
        """The space as JSON holds it; two that are equal are the same search."""
        return [
            {
                "path": each.path,
                "start": each.start,
                "low": each.low,
                "high": each.high,
                "log": each.log,
                "choices": list(each.choices),
            }
            for each in self.parameters
        ]

    def _named(self, values: Sequence[Value]) -> dict[str, Value]:
        return {parameter.path: value for parameter, value in zip(self.parameters, values, strict=True)}


def default_parameters(spec: RunSpec, *, with_lr: bool) -> list[Parameter]:
    """What a row's own search changes: its learned temperature, its shift, and on demand the learning rate."""
    found = list[Parameter]()
    if spec.method.learn_temperature:
        found.append(
            Parameter(TEMPERATURE, spec.method.initial_temperature, LOWEST, HIGHEST, log=True, grid=TEMPERATURES)
        )
    if spec.method.shift != "none":
        most = widest_shift(spec)
        pixels = tuple(range(1, most + 1))
        found.append(Parameter(SHIFT, own_shift(spec), 1, most, whole=True, grid=pixels))
    if with_lr:
        rate = spec.recipe.lr
        assert rate is not None, "a resolved recipe has a rate"
        found.append(
            Parameter(
                LR, rate, rate / LR_SPAN, rate * LR_SPAN, log=True, grid=(rounded(rate / 3), rate, rounded(3 * rate))
            )
        )
    return [each for each in found if each.values is None or len(each.values) > 1]


def own_shift(spec: RunSpec) -> int:
    """The shift of a row in pixels, on its backbone."""
    return spec.method.pixels(getattr(spec.backbone, "patch_size", None) or 1)


def widest_shift(spec: RunSpec) -> int:
    """The largest shift that is searched, in pixels: a whole patch."""
    width = SOFT_SPLIT if isinstance(spec.backbone, T2TSpec) else getattr(spec.backbone, "patch_size", 1)
    return max(1, min(width, *(side - 1 for side in spec.dataset.image_size)))


def check_space(subject: TuningTarget, parameters: Sequence[Parameter], origins: Mapping[str, str]) -> None:
    """Raise InputError if a row's own value is outside a parameter's, or an end of one makes no run.

    Args:
        origins: where each parameter was written, by path.
    """
    plain = subject.spec()
    for each in parameters:
        origin = origins.get(each.path, f"{WHERE}: {each.path}")
        if not each.holds(each.start):
            raise InputError(
                f"{origin}: does not hold {as_text(each.start)}, which '{subject.method}' has by itself "
                "and every search starts from: widen it, or set another start with --set"
            )
        for value in each.ends:
            try:
                spec = subject.spec({each.path: value} if value != each.start else {})
            except InputError as error:
                words = str(error).removeprefix(f"{WHERE}: ").removeprefix(f"set.{each.path}: ")
                raise InputError(f"{origin}: {as_text(value)}: {words}") from error
            if value != each.start and spec == plain:
                raise InputError(f"{origin}: {as_text(value)} makes the run that '{subject.method}' is by itself")


def field_types(path: str) -> set[Any]:
    """The types that a run's field can have.

    Raises:
        InputError: for a path that a search cannot change.
    """
    kinds: dict[str, Any] = {"method": Method, "recipe": Recipe}
    hints = {
        f"{head}.{name}": hint for head, kind in kinds.items() for name, hint in typing.get_type_hints(kind).items()
    }
    if path not in hints:
        known = [other for other in hints if other.startswith(path.partition(".")[0] + ".")] or list(hints)
        raise InputError(f"unknown parameter '{path}'{suggestion(path, known)}")
    if path in FIXED:
        raise InputError(f"cannot be searched: it is {FIXED[path]}")
    return set(flat_types(hints[path]))


def flat_types(hint: Any) -> Iterator[Any]:
    """The plain types in a union or a literal."""
    if typing.get_origin(hint) is typing.Literal:
        yield from (type(value) for value in typing.get_args(hint))
    elif typing.get_args(hint) and typing.get_origin(hint) is not tuple:
        for part in typing.get_args(hint):
            yield from flat_types(part)
    else:
        yield typing.get_origin(hint) or hint


def rounded(value: float) -> float:
    """To three significant digits."""
    return float(f"{value:.{DIGITS}g}")


def as_text(value: Any) -> str:
    """A value for a person."""
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
