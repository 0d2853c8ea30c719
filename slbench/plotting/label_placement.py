"""Placement of labels in a figure without overlaps."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

RADII = (6.0, 14.0, 24.0)  # from the labeled point, in points
AROUND = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)]  # tried in this order
ACROSS = {1: "left", 0: "center", -1: "right"}
UP = {1: "bottom", 0: "center", -1: "top"}
POINT = 5.0  # half the side of a marker, in points


def place_labels(
    figure: "Figure",
    axes: "Axes",
    names: Sequence[tuple[str, float, float, str]],
    *,
    avoid: Sequence[tuple[float, float, float]],
    lines: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
    fontsize: float,
) -> None:
    """Write each label near its point where it overlaps other labels, points and lines least, inside the axes.

    Args:
        names: (text, x, y, color) in data coordinates.
        avoid: points with their bars: (x, lowest, highest).
        lines: straight lines between two points.
        fontsize: points.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    frame, unit = axes.get_window_extent(renderer), figure.dpi / 72
    taken = []
    for across_at, low, high in avoid:
        (left, bottom), (right, top) = axes.transData.transform([(across_at, low), (across_at, high)])
        taken.append(Bbox.from_extents(left - 1, bottom, right + 1, top).padded(POINT * unit))
    for start, end in lines:
        taken += segment_boxes(*axes.transData.transform([start, end]), step=4 * unit)
    for text, x, y, colour in names:
        tries = list[tuple[float, int, Annotation, Bbox]]()
        for radius in RADII:
            for across, up in AROUND:
                distance = radius if 0 in (across, up) else radius * 0.7
                label = axes.annotate(
                    text, (x, y), xytext=(across * distance, up * distance), textcoords="offset points", color=colour,
                    ha=ACROSS[across], va=UP[up], fontsize=fontsize, annotation_clip=False,
                )  # fmt: skip
                label.set_in_layout(False)
                box = label.get_window_extent(renderer)
                tries.append((covered(box, taken, frame), len(tries), label, box))
        _, _, best, box = min(tries, key=lambda one: one[:2])
        for _, _, label, _ in tries:
            if label is not best:
                label.remove()
        taken.append(box)


def segment_boxes(start: Sequence[float], end: Sequence[float], *, step: float) -> "Iterator[Bbox]":
    """Yield small boxes along a line, in px."""
    from matplotlib.transforms import Bbox

    (x, y), (to_x, to_y) = start, end
    parts = max(1, round(max(abs(to_x - x), abs(to_y - y)) / step))
    for part in range(parts + 1):
        at_x, at_y = x + (to_x - x) * part / parts, y + (to_y - y) * part / parts
        yield Bbox.from_extents(at_x - step / 2, at_y - step / 2, at_x + step / 2, at_y + step / 2)


def covered(box: "Bbox", taken: Sequence["Bbox"], frame: "Bbox") -> float:
    """Return the area of a box that overlaps others or leaves the frame, in px², rounded to be reproducible."""
    inside = overlap(box, frame)
    return round(box.width * box.height - inside + sum(overlap(box, other) for other in taken), 1)


def overlap(one: "Bbox", other: "Bbox") -> float:
    """Return the common area of two boxes."""
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    up = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(across, 0.0) * max(up, 0.0))
