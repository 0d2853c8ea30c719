"""What all figures share: colours that everybody can tell apart, sizes for print, files that come out alike twice."""

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

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart; yellow left out on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # and grey print with them
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
# Rows where a panel shows one backbone: Paul Tol's high contrast, which grey print keeps in order, then his muted.
ROW_PALETTE = ("#DDAA33", "#BB5566", "#44AA99", "#882255", "#999933", "#88CCEE")
PLAIN, FULL = "none", "both"  # the rows that the paper's figures are about: a dot and a star
ROW_WORDS = {PLAIN: "plain", "spt": "SPT", "lsa": "LSA", FULL: "SPT and LSA"}
WIDTH, HEIGHT = 5.5, 3.6  # inches: a column of text
PAGE = 7.2  # inches: the text of a page of two columns
WIDE = 5  # a range whose ends differ by a larger factor is drawn on a logarithmic axis
STAR = 1.6  # a star looks smaller than other markers of its size
MAX_LETTERS = 40  # of a name in a figure
MAX_IN_TITLE = 60  # letters above a figure of a column
MAX_FIGURES = 12  # of one kind: more are no report
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "slbench",  # so that the ids in a file do not change from one drawing to the next
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
}
NO_DATE: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class StyleMap:
    """One colour a backbone, and one marker, line and colour a row, in every figure of a report."""

    backbones: tuple[str, ...]  # by order of appearance
    rows: tuple[str, ...]

    def of_backbone(self, backbone: str) -> str:
        """Its colour in a panel of several."""
        return PALETTE[self.backbones.index(backbone) % len(PALETTE)]

    def of_row(self, row: str) -> str:
        """Its colour in a panel of one backbone."""
        fixed = {PLAIN: "#000000", FULL: "#004488"}
        return fixed[row] if row in fixed else ROW_PALETTE[self._place(row) % len(ROW_PALETTE)]

    def marker(self, row: str) -> str:
        """A dot for the plain backbone and a star for SPT with LSA, as in Fig. 1 of the paper; else by appearance."""
        fixed = {PLAIN: "o", FULL: "*"}
        return fixed[row] if row in fixed else MARKERS[1 + self._place(row) % (len(MARKERS) - 1)]

    def line(self, row: str) -> Any:
        """Its dashes; the plain backbone's is solid."""
        fixed = {PLAIN: LINES[0], FULL: LINES[1]}
        return fixed[row] if row in fixed else LINES[2 + self._place(row) % (len(LINES) - 3)]

    def _place(self, row: str) -> int:
        return [name for name in self.rows if name not in (PLAIN, FULL)].index(row)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Within it, what is drawn looks like our figures."""
    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name may be in any script
        yield


def new_figure(*, width: float = WIDTH, height: float = HEIGHT) -> "tuple[Figure, Axes]":
    """An empty figure with one pair of axes, sizes in inches. To be called, and drawn in, within `style`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def new_panels(
    count: int, *, columns: int = 3, width: float = PAGE, height: float = 2.1, legend: float = 0.35, share: bool = True
) -> "tuple[Figure, list[Axes]]":
    """An empty figure with so many panels in rows, those too many left out.

    Args:
        height: of a panel, inches.
        legend: what is left for it below them, inches.
        share: one scale for all panels; with it only those at the left and below carry numbers.
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
    """A person's text as matplotlib draws it letter by letter, in one line: no formula, no private label."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    line = line if len(line) <= most else f"{line[: most - 1]}…"
    return line.replace("$", r"\$") if not line.startswith("_") else f" {line}".replace("$", r"\$")


def scale_across(axes: "Axes", places: Sequence[float]) -> None:
    """Make the axis across logarithmic if values on it differ by a large factor; ticks at 1, 2, 5, written out."""
    if min(places) <= 0 or max(places) / min(places) <= WIDE:
        return
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def spread_out(places: Sequence[float], *, most: int = 8) -> list[float]:
    """Of rising values those, some `most`, that can be written below a logarithmic axis without touching."""
    apart = (places[-1] / places[0]) ** (1 / most)
    kept = [places[-1]]
    for place in reversed(places[:-1]):
        if kept[-1] / place >= apart:
            kept.append(place)
    return kept[::-1]


def row_words(row: str) -> str:
    """What a legend of rows calls one."""
    return plain(ROW_WORDS.get(row, row))


def percent(level: float) -> str:
    """0.95 as "95 %"."""
    return f"{100 * level:.4g} %"


def save(figure: "Figure", path: Path, *, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure as `path` and each format's suffix: png, svg, pdf. The same figure gives the same bytes."""
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
