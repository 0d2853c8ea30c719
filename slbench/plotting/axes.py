"""Axes with readable ticks, within the range of the data and of what is possible."""

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from slbench.plotting.style import WIDE, FigureStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Range = tuple[float, float]
ACCURACY: Range = (0.0, 100.0)  # %
ROOM = 0.06  # beside the outermost values, of their range
FACTORS = (
    (1.0,),
    (1.0, 3.0),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
)  # of powers of ten on a logarithmic axis
# Narrow arrow heads, which no method has as its marker; the tip is at the limit.
UP, DOWN = ((-0.35, -1), (0.35, -1), (0, 0)), ((-0.35, 1), (0.35, 1), (0, 0))
RIGHT, LEFT = ((-1, -0.35), (-1, 0.35), (0, 0)), ((1, -0.35), (1, 0.35), (0, 0))
MIN_TICKS, MAX_TICKS = 3, 7
BEYOND = 2.0  # a difference farther than this many typical ones is cut


def accuracy_range(values: Iterable[float]) -> Range:
    """Return the limits of an axis of accuracies in %, values and ends of bars: no farther than 0 and 100.

    At 0 and 100 there is only room for half a marker.
    """
    known = [value for value in values if math.isfinite(value)]
    low, high = max(min(known), ACCURACY[0]), min(max(known), ACCURACY[1])
    room = ROOM * max(high - low, 1.0)
    return max(low - room, ACCURACY[0] - room / 2), min(high + room, ACCURACY[1] + room / 2)


def difference_range(estimates: Sequence[float], intervals: Sequence[Range]) -> Range:
    """Return the limits of an axis of differences in points, with 0.

    All estimates are inside, and intervals up to BEYOND times the median one or the farthest estimate, but nothing
    beyond a difference of 100.
    """
    farthest = max(map(abs, estimates))
    reaches = [max(abs(low), abs(high)) for low, high in intervals]
    typical = BEYOND * max(median(reaches), farthest) if reaches else 0.0
    half = (1 + 2 * ROOM) * max(farthest, min(typical, max(reaches, default=0.0), ACCURACY[1]), 0.1)
    return -half, half


def clipped(ends: Range, limits: Range) -> Range:
    """Return the part of an interval within limits."""
    return max(ends[0], limits[0]), min(ends[1], limits[1])


def mark_clipped(
    axes: "Axes",
    at: float,
    ends: Range,
    limits: Range,
    *,
    color: str,
    look: FigureStyle,
    horizontal: bool = False,
) -> None:
    """Draw an arrow head where an interval goes beyond limits."""
    low, high = (LEFT, RIGHT) if horizontal else (DOWN, UP)
    for marker, beyond, limit in ((low, ends[0] < limits[0], limits[0]), (high, ends[1] > limits[1], limits[1])):
        if beyond:
            place = (limit, at) if horizontal else (at, limit)
            axes.plot(
                [place[0]], [place[1]], marker=marker, color=color, markersize=look.size(8), clip_on=False,
                gid="beyond", linestyle="none", markeredgewidth=0, zorder=4,
            )  # fmt: skip


def log_ticks(low: float, high: float) -> list[float]:
    """Return ticks within a range of positive numbers: 1, 3, 10; 1, 2, 5, 10; or evenly spaced for a narrow range."""
    from matplotlib.ticker import MaxNLocator

    for factors in FACTORS:
        powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(inside) >= MIN_TICKS:
            return inside[:: math.ceil(len(inside) / MAX_TICKS)]
    even = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in even if low <= tick <= high and tick > 0]


def make_logarithmic(axis: "Axis", ticks: Sequence[float] | None = None) -> None:
    """Make an axis of positive numbers logarithmic, with plain numbers at its ticks; call it after drawing.

    Args:
        ticks: default: by `log_ticks`.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    set_scale = axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale
    set_scale("log")
    axis.set_major_locator(FixedLocator(log_ticks(*axis.get_view_interval()) if ticks is None else list(ticks)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(NullLocator())


def scale_across(axes: "Axes", values: Sequence[float]) -> None:
    """Make the x axis logarithmic for a wide range of values; write thousands with commas. Call it after drawing."""
    if min(values) > 0 and max(values) / min(values) > WIDE:
        make_logarithmic(axes.xaxis)
    else:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def ticks_at(
    axis: "Axis", values: Sequence[float], *, logarithmic: bool, look: FigureStyle, inches: float, form: str = ",.10g"
) -> None:
    """Put the ticks of an axis at ascending values of the data, as many as have room for their labels.

    Args:
        inches: length of the axis.
        form: format of the labels.
    """
    ticks = thin_ticks(values, logarithmic=logarithmic, label_share=label_share(values, form, look, inches))
    if logarithmic:
        make_logarithmic(axis, ticks)
    axis.set_ticks(ticks, labels=[f"{tick:{form}}" for tick in ticks])


def label_share(values: Sequence[float], form: str, look: FigureStyle, inches: float) -> float:
    """Return the width of the widest label, with room beside it, as a share of an axis."""
    letters = max(len(f"{value:{form}}") for value in values)
    return (letters + 1.5) * 0.6 * look.font / 72 / inches


def thin_ticks(values: Sequence[float], *, logarithmic: bool, label_share: float) -> list[float]:
    """Return the last of the ascending values and those before it whose labels do not touch.

    Args:
        label_share: width of a label as a share of the axis.
    """
    places = [math.log(value) if logarithmic else value for value in values]
    length = places[-1] - places[0] or 1.0
    kept = [len(values) - 1]
    for number in range(len(values) - 2, -1, -1):
        if places[kept[-1]] - places[number] >= label_share * length:
            kept.append(number)
    return [values[number] for number in kept[::-1]]
