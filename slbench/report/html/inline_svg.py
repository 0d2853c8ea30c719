"""Charts of learning curves as SVG inside a page."""

import math
from collections.abc import Callable, Sequence

from slbench.report.html.curves import SERIES, LearningCurve

WIDTH, HEIGHT = 840, 460  # of a chart, in units of its view box: half a pixel
LEFT, RIGHT, TOP, BOTTOM = 90, 812, 16, 392  # of the area between its axes


def line_chart(title: str, curves: Sequence[LearningCurve], names: Sequence[str]) -> str:
    """Return a figure of series by epoch, one line per run and series; empty without values.

    Args:
        names: of SERIES.
    """
    lines = [(name, curve.epochs, curve.values[name]) for curve in curves for name in names if name in curve.values]
    values = [value for _, _, line in lines for value in line if value is not None]
    if not values:
        return ""
    first, last = min(epochs[0] for _, epochs, _ in lines), max(epochs[-1] for _, epochs, _ in lines)
    across = axis(first, last, LEFT, RIGHT)
    up = axis(min(values), max(values), BOTTOM, TOP)
    drawn_names = [name for name in names if any(name == line[0] for line in lines)]
    keys = " ".join(f'<span class="key {SERIES[name].split}">{SERIES[name].label}</span>' for name in drawn_names)
    faint = " faint" if len(curves) > 1 else ""
    drawn = ""
    for name, epochs, line in lines:
        path = path_data(epochs, line, across, up)
        dot = "" if "l" in path else " dot"
        drawn += f'<path class="series {SERIES[name].split}{faint}{dot}" d="{path}"/>'
    heights = [(up(value), label) for value, label in ticks(min(values), max(values))]
    grid = "".join(f"M{LEFT} {height}H{RIGHT}" for height, _ in heights)
    left = "".join(f'<text x="{LEFT - 10}" y="{height + 8}">{label}</text>' for height, label in heights)
    below = "".join(f'<text x="{across(at)}" y="{BOTTOM + 28}">{label}</text>' for at, label in ticks(first, last, 1))
    return (
        f'<figure><figcaption>{title} {keys}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title} by epoch: {", ".join(SERIES[name].label for name in drawn_names)}">'
        f'<path class="grid" d="{grid}"/><path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>{drawn}'
        f'<g class="left">{left}</g><g class="epochs">{below}<text x="450" y="{HEIGHT - 6}">epoch</text></g>'
        "</svg></figure>"
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
