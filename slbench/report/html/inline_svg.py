"""Charts of learning curves as SVG inside a page."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slbench.report.html.curves import SERIES, LearningCurve

WIDTH, HEIGHT = 840, 460  # of a chart, in units of its view box: half a pixel
LEFT, RIGHT, TOP, BOTTOM = 90, 812, 16, 392  # of the area between its axes


@dataclass(frozen=True)
class Chart:
    """Series of several runs by epoch on common axes.

    Axes and lines are defined once in a page, and figures refer to them.
    """

    id: str  # of its axes in the page; those of lines end in the number of the run
    title: str
    names: Sequence[str]  # of SERIES
    curves: Sequence[LearningCurve]  # one a run

    def names_of(self, numbers: Sequence[int]) -> list[str]:
        """Return the series that some of these runs have."""
        return [name for name in self.names if any(name in self.curves[number].values for number in numbers)]

    @property
    def definitions(self) -> str:
        """SVG groups: the axes, and the lines of each run; empty without values."""
        lines = [[(name, curve.values[name]) for name in self.names_of([n])] for n, curve in enumerate(self.curves)]
        values = [value for run in lines for _, line in run for value in line if value is not None]
        if not values:
            return ""
        drawn = [curve.epochs for curve, run in zip(self.curves, lines, strict=True) if run]
        first, last = min(epochs[0] for epochs in drawn), max(epochs[-1] for epochs in drawn)
        across = axis(first, last, LEFT, RIGHT)
        up = axis(min(values), max(values), BOTTOM, TOP)
        heights = [(up(value), label) for value, label in ticks(min(values), max(values))]
        grid = "".join(f"M{LEFT} {height}H{RIGHT}" for height, _ in heights)
        left = "".join(f'<text x="{LEFT - 10}" y="{height + 8}">{label}</text>' for height, label in heights)
        below = "".join(f'<text x="{across(n)}" y="{BOTTOM + 28}">{label}</text>' for n, label in ticks(first, last, 1))
        groups = (
            f'<g id="{self.id}"><path class="grid" d="{grid}"/><path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>'
            f'<g class="left">{left}</g><g class="epochs">{below}<text x="450" y="{HEIGHT - 6}">epoch</text></g></g>'
        )
        for number, (curve, run) in enumerate(zip(self.curves, lines, strict=True)):
            paths = [(name, path_data(curve.epochs, line, across, up)) for name, line in run]
            series = "".join(
                f'<path class="series {SERIES[name].split}{"" if "l" in path else " dot"}" d="{path}"/>'
                for name, path in paths
            )
            groups += f'<g id="{self.id}-{number}">{series}</g>'
        return groups

    def figure(self, numbers: Sequence[int]) -> str:
        """Return the HTML of a figure with the lines of some runs; empty if they have no values."""
        names = self.names_of(numbers)
        if not names:
            return ""
        keys = " ".join(f'<span class="key {SERIES[name].split}">{SERIES[name].label}</span>' for name in names)
        lines = "".join(f'<use href="#{self.id}-{number}"/>' for number in numbers)
        lines = f'<g class="faint">{lines}</g>' if len(numbers) > 1 else lines
        return (
            f'<figure><figcaption>{self.title} {keys}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{self.title} by epoch: {", ".join(SERIES[name].label for name in names)}">'
            f'<use href="#{self.id}"/>{lines}</svg></figure>'
        )


def axis(low: float, high: float, start: int, end: int) -> Callable[[float], int]:
    """Return the function from values to positions along an axis; a single value is centered."""
    return lambda value: round(start + (end - start) * ((value - low) / (high - low) if high > low else 0.5))


def path_data(
    epochs: Sequence[int], values: Sequence[float | None], across: Callable[[float], int], up: Callable[[float], int]
) -> str:
    """Return the path of a line, interrupted where there is no value; a lone value is a dot."""
    steps, last = list[str](), None
    for epoch, value in zip(epochs, values, strict=True):
        if value is None:
            last = None
            continue
        x, y = across(epoch), up(value)
        steps.append(f"M{x} {y}h0" if last is None else f"l{x - last[0]} {y - last[1]}".replace(" -", "-"))
        last = x, y
    return "".join(steps)


def ticks(low: float, high: float, least: float = 0.0) -> list[tuple[float, str]]:
    """Return about five round tick values, at least `least` apart, with their labels."""
    rough = max((high - low) / 5, least) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [(number * step, f"{number * step:.{digits}f}") for number in numbers]
