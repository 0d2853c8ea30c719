"""Numbers that others published, as data: published.csv, each with its confidence and source.

A number that nobody here has seen is not in the file; it is never filled in.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

MODELS = {  # our backbones, as the paper's tables name them
    "vit": "ViT",
    "t2t": "T2T",
    "cait": "CaiT",
    "pit": "PiT",
    "swin": "Swin",
    "resnet56": "ResNet56",
    "resnet110": "ResNet110",
    "efficientnet-b0": "EfficientNetB0",
    "vit-tiny": "ViT-Tiny",
    "pit-xs": "PiT-XS",
    "swin-tiny": "Swin-T",
}
VARIANTS = {  # our rows, as the file names them
    "none": ("base",),
    "spt": ("S",),
    "lsa": ("L",),
    "both": ("SL", "SL w/ S_pool"),
    "both-no-pool": ("SL w/o S_pool",),
    "temperature-only": ("T",),
    "mask-only": ("M",),
}


@dataclass(frozen=True)
class Published:
    """One published number."""

    table: str  # "table2"
    model: str
    variant: str
    metric: str  # "top1" in %, "macs" and "params" in millions, "throughput" in images/s
    dataset: str
    value: float
    unit: str
    confidence: str  # verbatim, recomputed, second-hand
    note: str
    source: str


@cache
def published() -> tuple[Published, ...]:
    """Every number of the file."""
    with (files("slbench.report") / "published.csv").open(encoding="utf-8", newline="") as file:
        return tuple(Published(**{**line, "value": float(line["value"])}) for line in csv.DictReader(file))


def find(backbone: str, method: str, metric: str, *, dataset: str, table: str = "table2") -> Published | None:
    """The published number for a backbone and a row by our names, None if there is none."""
    for number in published():
        if (
            (number.table, number.metric, number.dataset) == (table, metric, dataset)
            and number.model == MODELS.get(backbone)
            and number.variant in VARIANTS.get(method, ())
        ):
            return number
    return None
