"""Style of all figures: colors for any color vision, sizes for print, reproducible files."""

import contextlib
import io
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slbench.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Okabe and Ito's colors, distinct for any color vision; without yellow, which is faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
PLAIN, FULL = "none", "both"  # the methods of the paper's figures: a dot and a star
METHOD_NAMES = {PLAIN: "plain", "spt": "SPT", "lsa": "LSA", FULL: "SPT and LSA"}
WIDTH, HEIGHT = 5.5, 3.6  # inches: a column of text
PAGE = 7.2  # inches: the text of a page of two columns
FONT = 9.0  # points
DARK = 0.88  # share of a color map that is visible on white
WIDE = 5  # ratio of the ends of a range above which an axis is logarithmic
STAR = 1.6  # a star looks smaller than other markers of its size
MAX_LETTERS = 40  # of a name in a figure
MAX_IN_TITLE = 60  # letters above a figure of a column
MAX_FIGURES = 12  # of one kind in a report
STYLE = {
    "font.size": FONT,
    "axes.axisbelow": True,  # no grid line through a marker
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "slbench",  # reproducible ids
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
}
LINE_SIZES = {  # points
    "axes.linewidth": 0.8,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "lines.markersize": 6.0,
    "xtick.major.size": 3.5,
    "ytick.major.size": 3.5,
}
NO_DATE: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class MethodStyle:
    """Color, marker and line style of a method."""

    color: str
    marker: str
    line: Any


# Paul Tol's high contrast colors (ordered in gray print) for the 2x2, as dot and star in Fig. 1 of the paper.
FIXED = {
    PLAIN: MethodStyle("#000000", "o", "-"),
    "spt": MethodStyle("#DDAA33", "s", "-."),
    "lsa": MethodStyle("#BB5566", "^", ":"),
    FULL: MethodStyle("#004488", "*", "--"),
}
# His muted colors for other methods, in their order.
OTHERS = (
    MethodStyle("#44AA99", "D", (0, (5, 1))),
    MethodStyle("#882255", "v", (0, (3, 1, 1, 1))),
    MethodStyle("#999933", "P", (0, (1, 1))),
    MethodStyle("#88CCEE", "X", (0, (7, 2, 1, 2))),
    MethodStyle("#117733", "p", (0, (4, 2))),
    MethodStyle("#CC6677", "h", (0, (2, 2))),
    MethodStyle("#332288", "<", (0, (6, 1, 1, 1, 1, 1))),
    MethodStyle("#AA4499", ">", (0, (3, 3))),
)


@dataclass(frozen=True)
class StyleMap:
    """Color, marker and line style of each method: the same in all figures of a report."""

    methods: tuple[str, ...]  # labels, by order of appearance

    def of(self, method: str) -> MethodStyle:
        """Return the style of a method; that of SPT, LSA, both and neither never changes."""
        if method in FIXED:
            return FIXED[method]
        others = [name for name in self.methods if name not in FIXED]
        return OTHERS[others.index(method) % len(OTHERS)]


def styles_of(methods: Mapping[str, str]) -> dict[str, MethodStyle]:
    """Return the style of each line of a figure: that of its method, or of its title if several have the method.

    Args:
        methods: by title of the line.
    """
    counts = Counter(methods.values())
    names = {title: title if counts[method] > 1 else method for title, method in methods.items()}
    styles = StyleMap(tuple(dict.fromkeys(names.values())))
    return {title: styles.of(name) for title, name in names.items()}


@dataclass(frozen=True)
class FigureStyle:
    """Sizes of the figures of a report for one use."""

    about: str
    column: float  # inches: width of a figure with one panel
    page: float  # inches: width of a figure with several panels
    font: float  # points

    def size(self, points: float) -> float:
        """Return the size of a font, marker or line that has `points` where the font has FONT."""
        return points * self.font / FONT

    def height(self, inches: float, *, panels: bool = False) -> float:
        """Return the height of something that has `inches` in a figure of WIDTH, or PAGE for panels."""
        return inches * (0.3 + 0.7 * (self.page / PAGE if panels else self.column / WIDTH))

    def letters(self, inches: float, *, points: float = FONT) -> int:
        """Return how many letters of a font that has `points` where the font has FONT fit into a length."""
        return max(1, int(inches * 72 / (0.55 * self.size(points))))

    def legend_columns(self, labels: Sequence[str], width: float) -> int:
        """Return the number of columns of a legend below a figure of this width in inches."""
        letters = 0.56 * self.size(8) / 72
        widest = max(len(label) for label in labels) * letters + 5.8 * self.size(8) / 72
        return max(1, min(len(labels), int(width / widest)))


FIGURE_STYLES = {
    "screen": FigureStyle("for the HTML page", WIDTH, PAGE, FONT),
    "paper": FigureStyle("5.5 in wide, for papers of one column", 5.5, 5.5, 8.5),
    "two-column": FigureStyle("3.3 in wide, or 6.9 in with several panels, for papers of two columns", 3.3, 6.9, 8.0),
    "slides": FigureStyle("9 to 12 in wide, with large letters", 9.0, 12.0, 18.0),
}
SCREEN = FIGURE_STYLES["screen"]


def dark_map(name: str) -> "Colormap":
    """Return a color map of matplotlib without its light end, for lines on white."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    shares = [DARK * step / 20 for step in range(21)]
    return LinearSegmentedColormap.from_list(name, [colormaps[name](share) for share in shares])


def tinted(color: str, share: float = 0.5) -> tuple[float, float, float]:
    """Return a color mixed with white.

    Args:
        share: of white.
    """
    from matplotlib.colors import to_rgb

    red, green, blue = (share + (1 - share) * part for part in to_rgb(color))
    return red, green, blue


@contextlib.contextmanager
def style(look: FigureStyle = SCREEN) -> Iterator[None]:
    """Draw in the style of our figures within this context."""
    import matplotlib

    sizes = {
        "font.size": look.font,
        **{name: look.size(points) for name, points in LINE_SIZES.items()},
    }
    with matplotlib.rc_context(STYLE | sizes), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names may be in any script
        yield


def new_figure(
    *, width: float | None = None, height: float = HEIGHT, look: FigureStyle = SCREEN
) -> "tuple[Figure, Axes]":
    """Return an empty figure with one axes; call it, and draw, within `style`.

    Args:
        width: inches; default: that of the style.
        height: inches in the style "screen".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width or look.column, look.height(height)), layout="constrained")
    return figure, figure.add_subplot()


def new_panels(
    count: int,
    *,
    columns: int = 3,
    height: float = 2.1,
    legend: float = 0.35,
    share: bool = True,
    look: FigureStyle = SCREEN,
) -> "tuple[Figure, list[Axes]]":
    """Return an empty figure with `count` panels in rows.

    Args:
        height: of a panel, inches in the style "screen".
        legend: space below the panels, likewise.
        share: one scale for all panels, labeled at the left and bottom only.
    """
    from matplotlib.figure import Figure

    across = min(count, columns)
    down = math.ceil(count / across)
    width = look.page if across > 1 else look.column
    tall = look.height(down * height + legend + 0.3, panels=across > 1)
    figure = Figure(figsize=(width, tall), layout="constrained")
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
