"""Published numbers from published.csv, each with its confidence and source.

The file has only numbers seen in a source; none are filled in.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from slbench.backbones import BACKBONES, PRESETS

# our backbones and presets: names in the paper's tables
MODELS = {name: entry.published_title or entry.title for name, entry in BACKBONES.items()} | {
    name: preset.title for name, preset in PRESETS.items()
}
VARIANTS = {  # our methods: names in the file
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
    """A published number."""

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
    """Return all numbers of the file."""
    text = (files("slbench.published") / "published.csv").read_text(encoding="utf-8")
    lines = csv.DictReader(text.splitlines())
    return tuple(Published(value=float(line.pop("value")), **line) for line in lines)


TABLES = ("table2", "table3", "table4", "table5")


def table_name(source: str) -> str | None:
    """Return "table5" for the source "arXiv:2112.13492 Table 5"; None for a source without one of TABLES."""
    number = re.search(r"2112\.13492.*\btable\s*(\d)", source, re.IGNORECASE)
    name = f"table{number[1]}" if number else ""
    return name if name in TABLES else None


def find(backbone: str, method: str, metric: str, *, dataset: str, table: str | None = "table2") -> Published | None:
    """Return the published number for a backbone and a method by our names; None without one.

    Args:
        table: None: the first table that has the number.
    """
    for number in published():
        if (
            (number.metric, number.dataset) == (metric, dataset)
            and table in (None, number.table)
            and number.model == MODELS.get(backbone)
            and number.variant in VARIANTS.get(method, ())
        ):
            return number
    return None


def mean_gain(backbones: Sequence[str], *, dataset: str, base: str, method: str) -> float | None:
    """Return the mean published gain in top-1 of a method over `base`; None if a number is missing."""
    pairs = [
        tuple(find(backbone, method, "top1", dataset=dataset, table=None) for method in (base, method))
        for backbone in backbones
    ]
    gains = [one.value - other.value for other, one in pairs if one is not None and other is not None]
    return sum(gains) / len(gains) if gains and len(gains) == len(pairs) else None
