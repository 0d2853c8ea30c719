"""Figures of receptive fields, side by side."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slbench.analysis.effective_receptive_field import Box, Map
from slbench.analysis.figures import hide_frame
from slbench.plotting.style import SCREEN, FigureStyle, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

PANELS = 5  # per row
SIDE = 1.65  # inches per panel


@dataclass(frozen=True)
class Panel:
    """Receptive field of one network."""

    title: str
    values: Map  # (height, width)
    box: Box | None  # by the formula


def draw_panels(panels: Sequence[Panel], look: FigureStyle = SCREEN) -> "Figure":
    """Draw all panels, each relative to its strongest pixel, with a shared colour bar."""
    from matplotlib.figure import Figure

    columns = min(PANELS, len(panels))
    rows = -(-len(panels) // columns)
    side, key = look.size(SIDE), look.size(0.9)
    if look is not SCREEN:
        side = min(side, (look.page - key) / columns)
    with style(look):
        figure = Figure(figsize=(side * columns + key, (side + look.size(0.45)) * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            picture = draw_panel(axes, panel, look, letters=look.letters(side, points=8))
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        bar = figure.colorbar(picture, ax=grid.ravel().tolist(), shrink=0.9)
        bar.set_label("share of the strongest pixel", fontsize=look.size(8))
        bar.ax.tick_params(labelsize=look.size(7))
    return figure


def draw_panel(axes: "Axes", panel: Panel, look: FigureStyle, *, letters: int) -> "AxesImage":
    """Draw one panel; the box is dashed, clipped to the image."""
    from matplotlib.patches import Rectangle

    height, width = panel.values.shape
    picture = axes.imshow(
        panel.values / panel.values.max(), cmap="cividis", vmin=0, vmax=1, interpolation="nearest", origin="upper"
    )
    title = textwrap.fill(panel.title, letters)
    if panel.box is not None:
        box = panel.box.cut((height, width))
        corner = (box.left - 0.5, box.top - 0.5)
        size = (box.right - box.left + 1, box.bottom - box.top + 1)
        for colour, line in (("black", "-"), ("white", (0, (3, 3)))):  # visible on light and dark
            axes.add_patch(
                Rectangle(
                    corner, *size, fill=False, edgecolor=colour, linestyle=line, linewidth=look.size(1.2), clip_on=False
                )
            )
        title += f"\nfield {panel.box.side} px"
    axes.set_title(title, fontsize=look.size(8))
    hide_frame(axes)
    return picture
