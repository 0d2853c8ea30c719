"""Contact sheet of attention maps over images, with values and page."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from slbench.analysis.attention import AttentionMaps, AttentionOptions, check_comparable, read_maps, select_rows
from slbench.analysis.captions import AnalysisOutput, computation_text, data_text, page, runs_table, table, write
from slbench.analysis.figures import escape, hide_frame
from slbench.analysis.load import LoadedDatasets, OnProgress
from slbench.analysis.maps import displayed
from slbench.analysis.run_selection import FinishedRun, RunSelection
from slbench.analysis.seed_aggregation import run_columns
from slbench.backbones import backbone_entry
from slbench.backbones.attention_layer import AttentionLayer
from slbench.data import DataConfig, class_names
from slbench.data.images.source import Rows
from slbench.data.splits import ImageSet
from slbench.plotting.style import SCREEN, FigureStyle, plain, style
from slbench.text import plural
from slbench.torch_runtime import reproducible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = 0.95  # inches per image in the style "screen"
NAMES = 0.6  # inches: names of the images
WRONG = "#B4230B"
COLOURS = "cividis"  # monotonic in lightness, safe for colour-blind readers


PREDICTED = "Below each map: the predicted class; × and red: wrong."
BRIGHT = (
    "Maps are min-max scaled per image (brightest: most attention, darkest: least) and resized bilinearly from the "
    "token grid to the image."
)
STRETCHED = (
    "A nearly flat map is stretched like any other. Patches read: exp(entropy) of a map, mean over images; it "
    "approaches the number of tokens for nearly uniform attention. Weight on patches: the rest is on the class token."
)
ROLLOUT = (
    "Attention rollout (Abnar and Zuidema, arXiv:2005.00928): from the output back through all layers by "
    "(A + I) / 2, with A the mean over heads."
)
UNMIXED = "attention is the softmax, before the second mix of heads."
MIXED = "attention is the magnitude after the second mix of heads; the sign of a mixed weight has no meaning."


def tidy(maps: Sequence[AttentionMaps], image_set: ImageSet, rows: Rows, options: AttentionOptions) -> pd.DataFrame:
    """Return the values of all maps before resizing, one line per token."""
    frames = []
    for run_maps in maps:
        selected = dict[str, tuple[str, Tensor]]()
        if options.all_blocks or run_maps.rolled is None:
            layers = run_maps.by_layer if options.all_blocks else {run_maps.last: run_maps.by_layer[run_maps.last]}
            selected |= {layer.name: (layer.kind, values) for layer, values in layers.items()}
        if run_maps.rolled is not None:
            selected["rollout"] = ("rollout", run_maps.rolled)
        for layer, (kind, values) in selected.items():
            image, down, across = (axis.ravel() for axis in np.indices(tuple(values.shape)))
            line = run_columns(run_maps.run) | {"split": options.split, "layer": layer, "kind": kind}
            frame = pd.DataFrame({"image": rows[image], "label": image_set.labels[rows[image]]})
            frame["predicted"] = np.array(run_maps.predicted)[image]
            frame = frame.assign(down=down, across=across, weight=values.numpy().ravel())
            frames.append(frame.assign(**line)[[*line, *frame]])
    return pd.concat(frames, ignore_index=True)


def summary(maps: Sequence[AttentionMaps]) -> str:
    """Return a Markdown table of the runs: map, attention on patches and effective number of patches."""
    lines = []
    for run_maps in maps:
        values = run_maps.main.flatten(1).double()
        share = values / values.sum(dim=1, keepdim=True)
        effective = torch.special.entr(share).sum(dim=1).exp()
        lines.append(
            {
                "model": run_maps.run.model,
                "seed": run_maps.run.seed,
                "map": "rollout" if run_maps.rolled is not None else run_maps.last.name,
                "tokens": " x ".join(map(str, run_maps.main.shape[1:])),
                "weight on patches": f"{values.sum(dim=1).mean():.3f}",
                "patches read": f"{effective.mean():.1f} of {values.shape[1]}",
            }
        )
    return table(pd.DataFrame(lines))


def write_sheet(
    selection: RunSelection,
    options: AttentionOptions,
    *,
    out: Path,
    on_run: Callable[[FinishedRun], OnProgress] = lambda run: lambda done, total: None,
) -> AnalysisOutput:
    """Write the contact sheet, its values and its page under `out`.

    Raises:
        InputError: if the runs have different images, or one cannot be read.
    """
    check_comparable(selection.runs, options.split)
    data = LoadedDatasets(selection.data)
    image_sets = [data.image_set(run, options.split) for run in selection.runs]
    image_set, rows = image_sets[0], select_rows(image_sets[0], options)
    with reproducible(options.threads):
        maps = [read_maps(run, image_set, rows, options, on_run(run)) for run in selection.runs]
    pixels = pictures(image_set, rows)
    classes = names_of_classes(selection.runs[0], selection.data)
    labels = [int(image_set.labels[row]) for row in rows]
    heads = [f"{class_text(classes, label)}\nno. {row}" for label, row in zip(labels, rows, strict=True)]
    name = "attention" + "-rollout" * options.rollout + "-mixed" * options.mixed
    defined = definitions(maps, options)
    caption = (
        data_text(
            selection.runs, options.split, {selection.runs[0].record.labels.dataset: (len(rows), len(image_set))}
        ),
        computation_text(options.device, options.threads),
        *selection.notes,
    )
    with style(options.look):
        titled = by_title(maps)
        predicted = {title: predictions(run_maps, labels, classes) for title, run_maps in titled.items()}
        columns = {title: run_maps.main for title, run_maps in titled.items()}
        figures = {name: draw(pixels, heads, columns, below=predicted, look=options.look)}
        if options.all_blocks:
            for number, (title, run_maps) in enumerate(titled.items(), start=1):
                columns = {layer.name: values for layer, values in run_maps.by_layer.items()}
                figures[f"{name}-blocks-{number}"] = draw(
                    pixels, heads, columns, over=f"{title}: {summary_of(predicted[title])}", look=options.look
                )
    tables = [("Maps", summary(maps)), ("Runs", runs_table(selection.runs))]
    text = page("Attention over images", caption, defined, tables, list(figures))
    frame = tidy(maps, image_set, rows, options)
    files = write(out, name, text, {name: frame}, figures)
    return AnalysisOutput(out, files, text, (*caption, *defined), frame)


def definitions(maps: Sequence[AttentionMaps], options: AttentionOptions) -> list[str]:
    """Return definitions of the maps for the networks in use."""
    last_block = "Maps: attention of the class token in the last block, mean over heads."
    parts = [PREDICTED, BRIGHT, STRETCHED, ROLLOUT if options.rollout else last_block]
    networks = {backbone_entry(run_maps.run.record.spec.backbone.name).title: run_maps.layers for run_maps in maps}
    for title, layers in networks.items():
        parts += rollout_notes(title, layers) if options.rollout else last_block_notes(title, layers)
        if any(layer.mix is not None for layer in layers):
            parts.append(f"{title}: {MIXED if options.mixed and not options.rollout else UNMIXED}")
    if options.all_blocks:
        parts.append("One more sheet per run shows every block with a class-token query (Swin: every block), by depth.")
    return parts


def rollout_notes(title: str, layers: Sequence[AttentionLayer]) -> Iterator[str]:
    """Yield how a rollout passes the layers that are not a plain stack of blocks."""
    kinds = {layer.kind for layer in layers}
    if "soft split" in kinds:
        yield f"{title}: back to the tokens of the last soft split, not through the soft splits."
    if "class" in kinds:
        yield f"{title}: class blocks update the class token only."
    if not any(layer.tokens.class_query for layer in layers):
        yield f"{title}: starts at the mean of all tokens, which is its output."
    if "window" in kinds:
        yield f"{title}: windows in image order."
    if pools(layers):
        yield f"{title}: the relevance of a pooled token is divided equally among its four tokens."


def last_block_notes(title: str, layers: Sequence[AttentionLayer]) -> Iterator[str]:
    """Yield what the last block is where the network is not a plain stack of blocks with a class token."""
    if layers[-1].kind == "class":
        yield f"{title}: the last class block."
    if not any(layer.tokens.class_query for layer in layers):
        yield (
            f"{title} has no class token: the map is the mean over all queries of the last block's attention, in "
            "image order: the attention of its output, the average of the tokens (the first step of attention "
            "rollout, arXiv:2005.00928, from that average)."
        )
    if pools(layers):
        yield f"{title}: the last stage has a coarse grid."


def pools(layers: Sequence[AttentionLayer]) -> bool:
    """Return whether the network pools its tokens between blocks."""
    return len({layer.tokens.size for layer in layers if layer.kind != "soft split"}) > 1


def by_title(maps: Sequence[AttentionMaps]) -> dict[str, AttentionMaps]:
    """Return maps by column title: method, seed if there are several, run id if still ambiguous."""
    models = [run_maps.run.model for run_maps in maps]
    seeds = len({run_maps.run.seed for run_maps in maps}) > 1
    titles = [
        f"{model}, seed {run_maps.run.seed}" if seeds else model for model, run_maps in zip(models, maps, strict=True)
    ]
    return {
        title if titles.count(title) == 1 else f"{title} {run_maps.run.record.run_id}": run_maps
        for title, run_maps in zip(titles, maps, strict=True)
    }


@dataclass(frozen=True)
class Prediction:
    """The class that a run assigns to an image."""

    text: str
    is_right: bool


def names_of_classes(run: FinishedRun, data: DataConfig | None) -> tuple[str, ...]:
    """Return the names of the classes by label; empty where they are unknown."""
    record = run.record
    return class_names(record.spec.dataset, record.labels.data, data) or ()


def class_text(classes: Sequence[str], label: int) -> str:
    """Return the name of a class on a line of a sheet, or its number."""
    return plain(classes[label], most=16) if classes else f"class {label}"


def predictions(maps: AttentionMaps, labels: Sequence[int], classes: Sequence[str]) -> list[Prediction]:
    """Return what a run took the images for; a wrong class is marked by a cross, so that colour is not needed."""
    return [
        Prediction(f"{'' if label == guess else '× '}{class_text(classes, guess)}", label == guess)
        for label, guess in zip(labels, maps.predicted, strict=True)
    ]


def summary_of(predicted: Sequence[Prediction]) -> str:
    """Return "5 of 6 images right"."""
    return f"{sum(each.is_right for each in predicted)} of {plural(len(predicted), 'image')} right"


def pictures(image_set: ImageSet, rows: Rows) -> list[np.ndarray]:
    """Return the images, each (h w) in grey or (h w 3) in colour; other channel counts are averaged."""
    stack = np.stack(list(image_set.take(rows).images))
    if stack.shape[1] == 3:
        return list(stack.transpose(0, 2, 3, 1))
    return list(stack.mean(axis=1).round().astype(np.uint8))


def draw(
    pixels: Sequence[np.ndarray],
    names: Sequence[str],
    columns: dict[str, Float[Tensor, "b down across"]],
    over: str = "",
    below: Mapping[str, Sequence[Prediction]] = MappingProxyType({}),
    look: FigureStyle = SCREEN,
) -> "Figure":
    """Draw one row per image: the image, then its map in every column.

    Args:
        over: title of the figure.
        below: what each run took the images for, by column.
    """
    from matplotlib.figure import Figure

    height, width = pixels[0].shape[:2]
    wide, high = 1 + len(columns), len(pixels)
    side = cell_side(wide, look)
    tall = look.size(0.85) + (side * height / width + look.size(0.14) * bool(below)) * high
    figure = Figure(figsize=(look.size(NAMES) + side * wide, tall), layout="constrained")
    letters = look.letters(side, points=6.5)
    panels = figure.subplots(high, wide, squeeze=False)
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if pixels[0].ndim == 2 else {}
    for line, picture, name in zip(panels, pixels, names, strict=True):
        line[0].imshow(picture, interpolation="nearest", **grey)
        line[0].set_ylabel(name, fontsize=look.size(7), rotation=0, ha="right", va="center")
    panels[0, 0].set_title("image", fontsize=look.size(7))
    for number, (title, maps) in enumerate(columns.items(), start=1):
        panels[0, number].set_title(escape("\n".join(textwrap.wrap(title, letters))), fontsize=look.size(7))
        for axes, image in zip(panels[:, number], displayed(maps, (height, width)), strict=True):
            colours = axes.imshow(image.numpy(), cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")
        for axes, each in zip(panels[:, number], below.get(title, ()), strict=False):
            color = "#000000" if each.is_right else WRONG
            axes.set_xlabel(textwrap.fill(each.text, letters), fontsize=look.size(6), labelpad=1.5, color=color)
    for axes in panels.ravel():
        hide_frame(axes)
    key = figure.colorbar(colours, ax=panels, orientation="horizontal", fraction=0.02, aspect=30, pad=0.01, shrink=0.5)
    key.set_ticks([0, 1], labels=["least read", "most read"], fontsize=look.size(7))
    if over:
        figure.suptitle(escape(over), fontsize=look.size(9))
    return figure


def cell_side(cells: int, look: FigureStyle) -> float:
    """Return the side in inches of an image of a sheet; a sheet for a page is no wider than the page."""
    side = look.size(CELL)
    return side if look is SCREEN else min(side, (look.page - look.size(NAMES)) / cells)
