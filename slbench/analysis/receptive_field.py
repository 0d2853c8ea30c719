"""`slbench analyze receptive-field`: receptive fields of tokens by the formula and by gradients."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from slbench.analysis.analyzed_networks import AnalyzedNetwork
from slbench.analysis.captions import FORMATS, AnalysisOutput, cpu_text, write_page
from slbench.analysis.effective_receptive_field import Box, Map, Output, boxes, effective_field, effective_side, support
from slbench.analysis.field_figures import Panel, draw_panels
from slbench.analysis.receptive_field_formula import receptive_field, resnet50, stride_of
from slbench.backbones import PRESETS, default_spec, meta_network, resolve_network
from slbench.backbones.layers import Backbone
from slbench.backbones.receptive_part import grid_of
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, model_title
from slbench.methods.receptive_steps import Chain
from slbench.plotting.style import SCREEN, FigureStyle, save
from slbench.store import safe
from slbench.text import distinct, plural
from slbench.torch_runtime import reproducible

OnProgress = Callable[[str], None]
MAX_LAYERS = 8  # of a chain in a table
CONTRAST = 224  # px, of the paper's comparison of a ViT with patch 16 and ResNet-50


@dataclass
class FieldResult:
    """Receptive fields of one line, summed over seeds."""

    first: AnalyzedNetwork
    seeds: list[int]
    maps: dict[Output, Map]

    @property
    def boxes(self) -> tuple[Box, Box]:
        return boxes(self.first.network, self.first.image_size)


def effective_fields(
    networks: Iterator[AnalyzedNetwork], outputs: Sequence[Output], *, on_progress: OnProgress = lambda line: None
) -> dict[str, FieldResult]:
    """Return effective fields by line: mean over images, then seeds."""
    fields: dict[str, FieldResult] = {}
    with reproducible(1):
        for analyzed in networks:
            on_progress(analyzed.line)
            maps = {
                output: effective_field(analyzed.network, analyzed.images, output=output, seed=analyzed.seed)
                for output in outputs
            }
            previous = fields.get(analyzed.line)
            if previous is None:
                fields[analyzed.line] = FieldResult(analyzed, [analyzed.seed], maps)
                continue
            previous.seeds.append(analyzed.seed)
            for output, values in maps.items():
                previous.maps[output] = previous.maps[output] + values
    for field in fields.values():
        field.maps = {output: values / len(field.seeds) for output, values in field.maps.items()}
    return fields


def formula_rows(
    line: str, chains: dict[str, Chain], *, backbone: str, method: str, image_size: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    """Yield the fields of a network by the formula, one line per part.

    Args:
        chains: layers from the image to each part.
    """
    for part, chain in chains.items():
        side, grid = receptive_field(chain), grid_of(chain, image_size)
        yield {
            "line": line,
            "backbone": backbone,
            "method": method,
            "part": part,
            "image_size": min(image_size),
            "grid_rows": grid[0],
            "grid_columns": grid[1],
            "stride": stride_of(chain),
            "field": side,
            "share_of_side": min(1.0, side / min(image_size)),
            "chain": chain_text(chain),
        }


def chains_of(network: Backbone) -> dict[str, Chain]:
    return {part.name: part.chain for part in network.receptive_chain()}


def chain_text(chain: Chain) -> str:
    """Return kernel/stride of each layer from the image on, repeats counted: "shift 5/1, 2 x conv 3/2"."""
    counted: list[tuple[str, int]] = []
    for step in map(str, chain):
        if counted and counted[-1][0] == step:
            counted[-1] = step, counted[-1][1] + 1
        else:
            counted.append((step, 1))
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counted)


def shortened(text: str) -> str:
    """Return the layers for a table, abbreviated if long."""
    names = text.split(", ")
    return text if len(names) <= MAX_LAYERS else f"{', '.join(names[:4])}, ... (all in the CSV)"


def contrast() -> Iterator[dict[str, Any]]:
    """Yield the paper's comparison at 224 px: ViT with patch 16, plain and with SPT, and ResNet-50 in both layouts."""
    shape = ImageShape((CONTRAST, CONTRAST), channels=3, classes=10)
    for method in ("none", "spt"):
        network = meta_network(*resolve_network(default_spec("vit-tiny"), METHODS[method], shape=shape), shape=shape)
        title = model_title(PRESETS["vit-tiny"].title, method)
        yield from formula_rows(title, chains_of(network), backbone="vit-tiny", method=method, image_size=shape.size)
    layouts: dict[str, Chain] = {
        "ResNet-50 (stride on the first 1x1, as published)": resnet50("1x1"),
        "ResNet-50 (stride on the 3x3, as in torchvision)": resnet50("3x3"),
    }
    for title, chain in layouts.items():
        yield from formula_rows(
            title, {"last features": chain}, backbone="resnet50", method="none", image_size=shape.size
        )


def effective_row(field: FieldResult, output: Output) -> dict[str, Any]:
    """Return a line of the table of fields by gradients; the class output has neither box nor own patch."""
    values, first = field.maps[output], field.first
    formula, patch = field.boxes
    tokens = output == "tokens"
    return {
        "line": first.line,
        "backbone": first.backbone,
        "method": first.method,
        "dataset": first.dataset or "noise",
        "output": first.network.receptive_chain()[0].name if tokens else "class",
        "seeds": len(field.seeds),
        "images": len(first.images),
        "field_in_image": formula.cut(first.image_size).side if tokens else max(first.image_size),
        "support": support(values).side,
        "effective_side": effective_side(values),
        "share_in_field": formula.share(values) if tokens else None,
        "share_in_own_patch": patch.share(values) if tokens else None,
    }


def analyse(
    networks: Iterator[AnalyzedNetwork],
    outputs: Sequence[Output],
    out: Path,
    *,
    with_contrast: bool,
    notes: Sequence[str] = (),
    on_progress: OnProgress = lambda line: None,
    look: FigureStyle = SCREEN,
) -> AnalysisOutput:
    """Write the fields by the formula and by gradients, and a figure per backbone and output.

    Args:
        with_contrast: also the paper's comparison at 224 px, by the formula.
    """
    fields = effective_fields(networks, outputs, on_progress=on_progress)
    rows = [
        row
        for first in (field.first for field in fields.values())
        for row in formula_rows(
            first.line,
            chains_of(first.network),
            backbone=first.backbone,
            method=first.method,
            image_size=first.image_size,
        )
    ]
    formula = pd.DataFrame([*rows, *(contrast() if with_contrast else ())])
    effective = pd.DataFrame([effective_row(field, output) for output in outputs for field in fields.values()])
    figures = [entry for output in outputs for entry in draw(list(fields.values()), output, out, look)]
    return write_page(
        out,
        "receptive-field",
        "Receptive fields",
        tables=[("By the formula", formula_table(formula)), ("By gradients", effective_table(effective))],
        frames={"receptive-field": formula, "receptive-field-effective": effective},
        figures=figures,
        notes=[FORMULA, GRADIENTS, cpu_text(), *notes],
    )


FORMULA = (
    "By the formula: r = r_trans j + (k - j) of arXiv:2112.13492, kernel k and stride j of each layer, chained from "
    "the last layer to the first with r_trans = 1; attention (also between the soft splits of T2T and before pooling) "
    "and squeeze-excitation are not counted; sides in px, layers as kernel/stride"
)
GRADIENTS = (
    "By gradients, after arXiv:1701.04128: mean over images of |d output / d pixel|, summed over the image's "
    "channels, with random signs on the channels of the output; support: side of the smallest box around all pixels "
    "with a non-zero gradient; effective side: of a square with as many pixels as reach 4.55 % of the strongest"
)


def formula_table(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "network": frame["line"],
            "of": frame["part"],
            "image (px)": frame["image_size"],
            "grid": frame["grid_rows"].astype(str) + " x " + frame["grid_columns"].astype(str),
            "stride (px)": frame["stride"],
            "field (px)": frame["field"],
            "layers": frame["chain"].map(shortened),
        }
    )


def effective_table(frame: pd.DataFrame) -> pd.DataFrame:
    def percent(values: pd.Series) -> pd.Series:
        return values.map(lambda value: "" if pd.isna(value) else f"{100 * value:.1f}")

    return pd.DataFrame(
        {
            "network": frame["line"],
            "data": frame["dataset"],
            "output": frame["output"],
            "seeds": frame["seeds"],
            "images": frame["images"],
            "field in the image (px)": frame["field_in_image"],
            "support (px)": frame["support"],
            "effective side (px)": frame["effective_side"].map(lambda value: f"{value:.1f}"),
            "in the field (%)": percent(frame["share_in_field"]),
            "in its own patch (%)": percent(frame["share_in_own_patch"]),
        }
    )


def draw(fields: Sequence[FieldResult], output: Output, out: Path, look: FigureStyle) -> list[tuple[str, str]]:
    """Write a figure per backbone with its lines side by side; return (file stem, caption)."""
    captions = []
    backbones = distinct(field.first.backbone for field in fields)
    for backbone in backbones:
        group = [field for field in fields if field.first.backbone == backbone]
        panels = [
            Panel(field.first.line, field.maps[output], field.boxes[0] if output == "tokens" else None)
            for field in group
        ]
        name = f"receptive-field-{output}{f'-{safe(backbone)}' if len(backbones) > 1 else ''}"
        save(draw_panels(panels, look), out / name, formats=FORMATS)
        captions.append((name, caption_of(group, output)))
    return captions


def caption_of(group: Sequence[FieldResult], output: Output) -> str:
    """Return the caption of a figure: content, images and seeds."""
    first = group[0].first
    part = first.network.receptive_chain()[0]
    is_token = part.name.startswith("tokens")
    what = (
        ("central token" if is_token else "central one of the last features") if output == "tokens" else "head's input"
    )
    images = " or ".join(distinct(str(len(field.first.images)) for field in group))
    data = ", ".join(distinct(field.first.dataset for field in group if field.first.dataset))
    on = f"{images} test images of {data}" if data else f"{images} images of noise"
    seeds = ", ".join(map(str, sorted({seed for field in group for seed in field.seeds})))
    weights = ", ".join(distinct(field.first.weights for field in group if field.first.weights))
    trained = f"weights of the {weights}" if weights else "untrained"
    count = " to ".join(dict.fromkeys(str(f(len(field.seeds) for field in group)) for f in (min, max)))
    box = "; ".join(["", "dashed: the field by the formula", *filter(None, [part.note])]) if output == "tokens" else ""
    if not weights and not is_token:
        trained += ", batch norm at its initial statistics"
    return (
        f"influence of each pixel on the {what}, as a share of the strongest pixel; mean over {on}; {trained}; "
        f"n = {plural(int(count), 'seed') if count.isdecimal() else f'{count} seeds'} (seeds {seeds}){box}"
    )
