"""What all figures share: colours that everybody can tell apart, sizes for print, files that come out alike twice."""

import contextlib
import io
from collections.abc import Iterator, Sequence
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
WIDTH, HEIGHT = 5.5, 3.6  # inches: a column of text
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


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Within it, what is drawn looks like our figures."""
    import matplotlib

    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        yield


def new_figure(*, width: float = WIDTH, height: float = HEIGHT) -> "tuple[Figure, Axes]":
    """An empty figure with one pair of axes, sizes in inches. To be called, and drawn in, within `style`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


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
