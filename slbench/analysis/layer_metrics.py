"""Metrics of every attention layer (sharpness, self-relation) over images and runs, averaged over seeds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from slbench.analysis import self_relation, sharpness
from slbench.analysis.captions import AnalysisOutput, computation_text, data_text, page, runs_table, write
from slbench.analysis.capture import AttentionCapture
from slbench.analysis.figures import Reference, draw_by_depth
from slbench.analysis.load import (
    LoadedDatasets,
    OnProgress,
    PassOptions,
    evenly_spaced,
    load_network,
    run_with_capture,
)
from slbench.analysis.run_selection import FinishedRun, RunSelection, Split
from slbench.analysis.seed_aggregation import (
    CELL,
    LAYER,
    as_table,
    averages,
    figure_groups,
    over_seeds,
    run_columns,
    with_distinct_titles,
)
from slbench.backbones.attention_layer import AttentionLayer
from slbench.data.batches import Batches
from slbench.data.config import DataConfig
from slbench.data.images.source import Rows
from slbench.data.splits import ImageSet
from slbench.plotting.style import SCREEN, FigureStyle, style
from slbench.torch_runtime import reproducible


class LayerMetric(Protocol):
    """Running means per layer over batches."""

    def update(self, capture: AttentionCapture) -> None: ...

    def compute(self, layer: AttentionLayer) -> dict[str, float]: ...


@dataclass(frozen=True)
class Analysis:
    """Definition of an analysis by depth."""

    name: str
    title: str
    metric: Callable[[], LayerMetric]
    measures: dict[str, str]  # column titles by metric
    definitions: tuple[str, ...]
    figures: dict[str, tuple[str, ...]]  # metrics per figure, by suffix of its name
    references: dict[str, Reference]  # reference curves by metric
    remark: Callable[[Iterable[int]], str] = lambda keys: ""  # sentence for the numbers of keys in use


SHARPNESS = Analysis(
    "sharpness",
    "Sharpness of attention by depth",
    sharpness.Sharpness,
    sharpness.MEASURES,
    sharpness.DEFINITIONS,
    {"": ("kl", "kl_support"), "-more": ("entropy", "self_weight", "distance")},
    sharpness.REFERENCES,
    sharpness.artefact,
)
SELF_RELATION = Analysis(
    "self-relation",
    "Self-relation of tokens by depth",
    self_relation.SelfRelation,
    self_relation.MEASURES,
    self_relation.DEFINITIONS,
    {"": ("excess_share", "self_largest", "excess"), "-norms": ("query_norm", "key_norm")},
    self_relation.REFERENCES,
)
BY_DEPTH = {analysis.name: analysis for analysis in (SHARPNESS, SELF_RELATION)}


@dataclass(frozen=True, kw_only=True)
class LayerMetricOptions:
    """Images and device of a layer analysis."""

    split: Split
    max_images: int | None  # evenly spaced over the split; None for all
    device: torch.device
    threads: int
    batch_size: int
    data: DataConfig | None = None  # None: as the environment says
    look: FigureStyle = SCREEN


def measure(
    analysis: Analysis,
    runs: Sequence[FinishedRun],
    options: LayerMetricOptions,
    *,
    on_run: Callable[[FinishedRun], OnProgress],
) -> tuple[pd.DataFrame, dict[str, tuple[int, int]]]:
    """Return one line per run and layer, and images used and available by data set.

    Args:
        on_run: called at the start of each run; returns its progress callback.
    Raises:
        InputError: see `load_network` and `LoadedDatasets.image_set`.
    """
    data, lines, counts = LoadedDatasets(options.data), list[dict[str, Any]](), dict[str, tuple[int, int]]()
    with reproducible(options.threads):
        for run in runs:
            image_set = data.image_set(run, options.split)
            rows = evenly_spaced(len(image_set), at_most=options.max_images)
            counts[run.record.labels.dataset] = len(rows), len(image_set)
            lines += by_layer(analysis, run, image_set, rows, options, on_run(run))
    return with_distinct_titles(pd.DataFrame(lines), runs), counts


def by_layer(
    analysis: Analysis,
    run: FinishedRun,
    image_set: ImageSet,
    rows: Rows,
    options: LayerMetricOptions,
    on_progress: OnProgress,
) -> list[dict[str, Any]]:
    """Return one line per layer of a run."""
    network = load_network(run, device=options.device)
    layers, metric, keys = network.attention_layers(), analysis.metric(), dict[AttentionLayer, int]()

    def update(capture: AttentionCapture) -> None:
        keys[capture.layer] = capture.scores.shape[-1]
        metric.update(capture)

    pass_options = PassOptions(device=options.device, batch_size=options.batch_size, on_progress=on_progress)
    batches = Batches(image_set, run.record.spec.dataset, device=options.device)
    run_with_capture(network, layers, batches, rows, update, options=pass_options)
    columns = run_columns(run) | {"split": options.split, "images": len(rows)}
    return [
        {
            **columns,
            "number": number,
            "layer": layer.name,
            "axis": layer.short,
            "kind": layer.kind,
            "keys": keys[layer],
            "learned_scale": layer.logits.scale is not None,
            "masks_self": layer.logits.mask_self,
            **metric.compute(layer),
        }
        for number, layer in enumerate(layers, start=1)
    ]


def analyse(
    analysis: Analysis,
    selection: RunSelection,
    options: LayerMetricOptions,
    *,
    out: Path,
    on_run: Callable[[FinishedRun], OnProgress] = lambda run: lambda done, total: None,
) -> AnalysisOutput:
    """Measure, then write tables, figures and page under `out`."""
    frame, counts = measure(analysis, selection.runs, options, on_run=on_run)
    measures, runs = list(analysis.measures), selection.runs
    layers = over_seeds(frame, measures, [*CELL, *LAYER])
    mean = averages(frame, measures)
    many_seeds = len(set(frame["seed"])) > 1
    caption = (
        data_text(runs, options.split, counts),
        "Mean ± sample standard deviation over seeds." if many_seeds else "One seed: no spread.",
        *filter(None, [analysis.remark(frame.loc[frame["kind"] != "class", "keys"])]),
        computation_text(options.device, options.threads),
        *selection.notes,
    )
    with style(options.look):
        figures = {
            f"{analysis.name}{tail}{suffix}": draw_by_depth(
                lines, metrics, analysis.measures, analysis.references, options.look
            )
            for suffix, lines in figure_groups(frame).items()
            for tail, metrics in analysis.figures.items()
        }
    data = {"dataset": "data"} if frame["dataset"].nunique() > 1 else {}
    text = page(
        analysis.title,
        caption,
        analysis.definitions,
        [
            ("Mean over layers of self-attention", as_table(mean, analysis.measures, {"row": "model"} | data)),
            ("By layer", as_table(layers, analysis.measures, {"row": "model"} | data | {"layer": "layer"})),
            ("Runs", runs_table(runs)),
        ],
        list(figures),
    )
    frames = {analysis.name: frame.drop(columns="axis"), f"{analysis.name}-rows": layers}
    files = write(out, analysis.name, text, frames, figures)
    return AnalysisOutput(out, files, text, (*caption, *analysis.definitions), frames[analysis.name])
