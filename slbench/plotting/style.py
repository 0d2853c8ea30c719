"""Style of all figures: colors for any color vision, sizes for print, reproducible files."""

import contextlib
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slbench.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors, distinct for any color vision; without yellow, which is faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # distinct in gray print
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
# Methods within one backbone: Paul Tol's high contrast (ordered in gray print), then his muted colors.
METHOD_PALETTE = ("#DDAA33", "#BB5566", "#44AA99", "#882255", "#999933", "#88CCEE")
PLAIN, FULL = "none", "both"  # the methods of the paper's figures: a dot and a star
METHOD_NAMES = {PLAIN: "plain", "spt": "SPT", "lsa": "LSA", FULL: "SPT and LSA"}
WIDTH, HEIGHT = 5.5, 3.6  # inches: a column of text
PAGE = 7.2  # inches: the text of a page of two columns
WIDE = 5  # ratio of the ends of a range above which an axis is logarithmic
STAR = 1.6  # a star looks smaller than other markers of its size
MAX_LETTERS = 40  # of a name in a figure
MAX_IN_TITLE = 60  # letters above a figure of a column
MAX_FIGURES = 12  # of one kind in a report
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "slbench",  # reproducible ids
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
}
NO_DATE: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class StyleMap:
    """Color of each backbone, and marker, line style and color of each method, in all figures of a report."""

    backbones: tuple[str, ...]  # by order of appearance
    methods: tuple[str, ...]

    def backbone_color(self, backbone: str) -> str:
        """Return the color of a backbone in a panel of several."""
        return PALETTE[self.backbones.index(backbone) % len(PALETTE)]

    def method_color(self, method: str) -> str:
        """Return the color of a method in a panel of one backbone."""
        fixed = {PLAIN: "#000000", FULL: "#004488"}
        return fixed[method] if method in fixed else METHOD_PALETTE[self._index(method) % len(METHOD_PALETTE)]

    def marker(self, method: str) -> str:
        """Return the marker: a dot for the plain backbone, a star for SPT with LSA, as in Fig. 1 of the paper."""
        fixed = {PLAIN: "o", FULL: "*"}
        return fixed[method] if method in fixed else MARKERS[1 + self._index(method) % (len(MARKERS) - 1)]

    def line_style(self, method: str) -> Any:
        """Return the line style; solid for the plain backbone."""
        fixed = {PLAIN: LINES[0], FULL: LINES[1]}
        return fixed[method] if method in fixed else LINES[2 + self._index(method) % (len(LINES) - 3)]

    def _index(self, method: str) -> int:
        return [name for name in self.methods if name not in (PLAIN, FULL)].index(method)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of our figures within this context."""
    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names may be in any script
        yield


def new_figure(*, width: float = WIDTH, height: float = HEIGHT) -> "tuple[Figure, Axes]":
    """Return an empty figure with one axes, sizes in inches; call it, and draw, within `style`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def new_panels(
    count: int, *, columns: int = 3, width: float = PAGE, height: float = 2.1, legend: float = 0.35, share: bool = True
) -> "tuple[Figure, list[Axes]]":
    """Return an empty figure with `count` panels in rows.

    Args:
        height: of a panel, inches.
        legend: space below the panels, inches.
        share: one scale for all panels, labeled at the left and bottom only.
    """
    from matplotlib.figure import Figure

    across = min(count, columns)
    down = math.ceil(count / across)
    figure = Figure(figsize=(width if across > 1 else WIDTH, down * height + legend + 0.3), layout="constrained")
    grid = figure.subplots(down, across, sharex=share, sharey=share, squeeze=False)
    panels = [axes for line in grid for axes in line]
    for number, axes in enumerate(panels[count:], start=count):
        axes.remove()
        panels[number - across].xaxis.set_tick_params(labelbottom=True)
    return figure, panels[:count]


def plain(text: str, *, most: int = MAX_LETTERS) -> str:
    """Return text that matplotlib draws literally on one line: no formula, no hidden label."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    line = line if len(line) <= most else f"{line[: most - 1]}…"
    return line.replace("$", r"\$") if not line.startswith("_") else f" {line}".replace("$", r"\$")


def scale_across(axes: "Axes", values: Sequence[float]) -> None:
    """Make the x axis logarithmic for a wide range of values, with plain tick labels at 1, 2, 5."""
    if min(values) <= 0 or max(values) / min(values) <= WIDE:
        return
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def thin_ticks(values: Sequence[float], *, most: int = 8) -> list[float]:
    """Return about `most` of the ascending values, whose labels do not touch on a logarithmic axis."""
    min_ratio = (values[-1] / values[0]) ** (1 / most)
    kept = [values[-1]]
    for value in reversed(values[:-1]):
        if kept[-1] / value >= min_ratio:
            kept.append(value)
    return kept[::-1]


def method_name(method: str) -> str:
    """Return the name of a method in a legend."""
    return plain(METHOD_NAMES.get(method, method))


def save(figure: "Figure", path: Path, *, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure as `path` plus the suffix of each format (png, svg, pdf); the bytes are reproducible."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    written = []
    for suffix in formats:
        content = io.BytesIO()
        with style():
            FigureCanvasAgg(figure)
            figure.savefig(content, format=suffix, dpi=200, metadata=NO_DATE[suffix])
        target = path.with_name(f"{path.name}.{suffix}")
        write_atomic(target, content.getvalue())
        written.append(target)
    return written
