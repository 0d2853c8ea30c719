"""Figures as pictures, compared with references; `python -m tests.report.figures.test_pictures` rewrites these."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from slbench.analysis import contact_sheet
from slbench.analysis.figures import draw_by_depth
from slbench.plotting.style import FIGURE_STYLES, SCREEN, FigureStyle, style
from slbench.report.figures import curves, interaction, sweep, tradeoff
from slbench.report.figures.inputs import Context, FigureInputs, contexts, figure_inputs
from slbench.report.table import make_table
from slbench.study import StudyRun
from tests.report.helpers import inputs_of
from tests.support import TINY, runs

PICTURES = Path(__file__).parent / "pictures"
TOLERANCE = 8.0  # root mean square of the difference of pixels; letters of another version of matplotlib differ by less
SECOND = {**TINY, "label": "Second", "dim": 11}
GAINS = {"none": 0.0, "spt": 2.0, "lsa": 1.0, "both": 4.0}


def accuracy(run: StudyRun) -> float:
    """One backbone near 70 %, another at the end of what is possible; in one cell a seed far from the others."""
    if run.labels.backbone == "Second":
        return min(100.0, 96.5 + GAINS[run.labels.method] + run.spec.seed)
    return 70 + GAINS[run.labels.method] + run.spec.seed - 40 * (run.labels.method == "lsa" and run.spec.seed == 0)


def grid(look: FigureStyle, **axes: object) -> FigureInputs:
    runs_ = runs({"backbone": [TINY, SECOND], "method": list(GAINS), "seed": [0, 1, 2], **axes})
    inputs = inputs_of(runs_, accuracy)
    costs = {record.run_id: (3 if record.labels.backbone == "Second" else 1) for record in inputs.records}
    more = {"none": 1.0, "spt": 1.5, "lsa": 1.0, "both": 1.5}
    records = tuple(
        record.model_copy(update={"macs": int(1e7 * costs[record.run_id] * more[record.labels.method])})
        for record in inputs.records
    )
    inputs = type(inputs)(name="test", runs=runs_, records=records)
    return figure_inputs(inputs, make_table(inputs), look)


def draw_tradeoff(look: FigureStyle) -> Figure:
    inputs = grid(look)
    (context,) = contexts(inputs.experiments)
    return tradeoff.draw(context, tradeoff.macs(context), inputs)


def draw_effects(look: FigureStyle) -> Figure:
    inputs = grid(look)
    assert inputs.verdicts is not None
    effects = [each for each in inputs.verdicts.results if each.answer.contrast.effect]
    context = Context(dataset="fashion-mnist-12k", settings={}, experiments=())
    return interaction.draw(
        context, interaction.two_by_twos(effects, inputs), interaction.over_these(effects), inputs
    )  # fmt: skip


def draw_sweep(look: FigureStyle) -> Figure:
    rates = [0.001, 0.00125, 0.0015, 0.003, 0.01]
    inputs = grid(look, backbone=[TINY], method=["none", "both"], **{"recipe.lr": rates})
    ((column, lines),) = sweep.find_sweeps(inputs.experiments).items()
    return sweep.draw(column, lines, inputs)


def draw_curves(look: FigureStyle) -> Figure:
    inputs = grid(look)
    (context,) = contexts(inputs.experiments)
    series = []
    for experiment in context.experiments:
        ends = inputs.by_seed(experiment).values()
        by_seed = tuple(tuple(end * epoch / (epoch + 0.5) for epoch in range(1, 13)) for end in ends)
        series.append(curves.Curves(experiment, by_seed, by_seed, 0))
    return curves.draw(context, series, "val_top1", inputs)


def draw_sheet(look: FigureStyle) -> Figure:
    """Two images of different classes, one of them wrong for one run; maps that are bright at one corner."""
    pixels = [np.linspace(0, 255, 64).reshape(8, 8).astype(np.uint8)] * 2
    maps = torch.zeros(2, 2, 2)
    maps[:, 0, 1] = 1.0
    right, wrong = contact_sheet.Prediction("ankle boot", True), contact_sheet.Prediction("× sneaker", False)
    below = {"ViT-x": [right, wrong], "SL-ViT-x": [right, right]}
    names = ["ankle boot\nno. 0", "ankle boot\nno. 7"]
    return contact_sheet.draw(pixels, names, dict.fromkeys(below, maps), below=below, look=look)


def draw_layers(look: FigureStyle) -> Figure:
    """Two methods in three layers, of three seeds; the second metric has no reference curve."""
    layers = range(1, 4)
    frame = pd.DataFrame(
        {
            "run": f"{method}{seed}", "cell": method, "row": row, "backbone": "ViT-x", "method": method,
            "dataset": "shapes", "seed": seed, "number": layer, "layer": f"block {layer}", "axis": str(layer),
            "kind": "self", "keys": 17, "kl": 0.1 * layer + gain + 0.02 * seed, "distance": 2 + gain / layer,
        }
        for row, method, gain in (("ViT-x", "none", 0.0), ("SL-ViT-x", "both", 0.3)) for seed in range(3)
        for layer in layers
    )  # fmt: skip
    heads = {"kl": "KL(uniform || attention)", "distance": "mean attention distance (patches)"}
    return draw_by_depth(frame, list(heads), heads, {"kl": ("uniform", lambda keys: 0.25)}, look)


DRAWINGS: dict[str, tuple[Callable[[FigureStyle], Figure], FigureStyle]] = {
    "tradeoff": (draw_tradeoff, SCREEN),
    "tradeoff-two-column": (draw_tradeoff, FIGURE_STYLES["two-column"]),
    "tradeoff-slides": (draw_tradeoff, FIGURE_STYLES["slides"]),
    "effects": (draw_effects, SCREEN),
    "sweep": (draw_sweep, SCREEN),
    "curves-paper": (draw_curves, FIGURE_STYLES["paper"]),
    "attention-two-column": (draw_sheet, FIGURE_STYLES["two-column"]),
    "layers-paper": (draw_layers, FIGURE_STYLES["paper"]),
}


def drawn(name: str) -> Figure:
    draw, look = DRAWINGS[name]
    with style(look):
        return draw(look)


def write(figure: Figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with style():
        FigureCanvasAgg(figure)
        figure.savefig(path, format="png", dpi=330 / figure.get_figwidth(), metadata={"Software": None})


def difference(figure: Figure, name: str, folder: Path) -> str | None:
    """Return how a figure differs from a reference; None if it does not."""
    from matplotlib.testing.compare import compare_images

    path = folder / f"{name}.png"
    write(figure, path)
    found: str | None = compare_images(str(PICTURES / f"{name}.png"), str(path), tol=TOLERANCE)  # type: ignore[assignment]
    return found


@pytest.mark.usefixtures("every_format")
@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_equals_its_reviewed_reference(name: str, tmp_path: Path) -> None:
    assert difference(drawn(name), name, tmp_path) is None


@pytest.mark.usefixtures("every_format")
def test_the_comparison_of_figures_detects_visible_changes(tmp_path: Path) -> None:
    changes: list[Callable[[Figure], object]] = [
        lambda figure: figure.axes[0].set_ylim(-25, 150),
        lambda figure: figure.legends[0].remove(),
        lambda figure: figure.axes[0].set_xlabel(""),
    ]
    for change in changes:
        figure = drawn("tradeoff")
        change(figure)
        assert difference(figure, "tradeoff", tmp_path) is not None


if __name__ == "__main__":
    for each in sys.argv[1:] or DRAWINGS:
        write(drawn(each), PICTURES / f"{each}.png")
