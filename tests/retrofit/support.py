"""Which models of timm and torchvision SPT and LSA fit: `python -m tests.retrofit.support FILE` writes the page.

Every transformer of timm is built by its own entry point, with its own options but small (see `timm_models`), and the
methods are put into it. Models that are equal once they are small are run once.
"""

import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import slbench
from slbench.errors import InputError
from slbench.markdown import markdown_table
from slbench.methods import METHODS
from slbench.retrofit.apply import retrofit
from slbench.retrofit.structure import Structure
from tests.retrofit import timm_models

VERDICTS = ("refused", "partly", "supported")  # by number of the two methods that fit
TORCHVISION = {
    "vit_b_32": ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"),
    "swin_t": ("swin_t", "swin_s", "swin_b"),
    "swin_v2_t": ("swin_v2_t", "swin_v2_s", "swin_v2_b"),
    "maxvit_t": ("maxvit_t",),
}
TESTED = 15  # one of so many distinct models of a row is run by the slow tests, at least one
UNTESTED = ("byoanet", "fastvit", "hiera")  # whose small models take most time
RELATIONS = {"self": "self", "cross": "cross", "none": "not over tokens", "unknown": "unknown"}
ATTENDING = ("attn", "attention", "litemla", "shsa")  # in names of classes, of attention without a softmax too


@dataclass
class Row:
    """Models of a family of which the same holds."""

    family: str  # the module that defines them
    verdict: str
    tokenizer: str
    attention: str
    reason: str
    models: list[str] = field(default_factory=list)
    tested: list[str] = field(default_factory=list)  # those that stand for distinct small models


def construct(name: str) -> tuple[nn.Module, tuple[int, int]]:
    """Return a small model by name, such as "timm:levit_128s", and its image size."""
    package, _, own = name.partition(":")
    return timm_models.small_model(own) if package == "timm" else torchvision_model(own)


def torchvision_model(name: str) -> tuple[nn.Module, tuple[int, int]]:
    """Return a small model with the classes of one of torchvision."""
    from torchvision.models import MaxVit, SwinTransformer, VisionTransformer, swin_transformer

    torch.manual_seed(0)
    if name.startswith("vit"):
        sizes: dict[str, Any] = {"num_layers": 2, "num_heads": 3, "hidden_dim": 48, "mlp_dim": 48, "num_classes": 10}
        return VisionTransformer(image_size=32, patch_size=8, **sizes).eval(), (32, 32)
    if name == "maxvit_t":
        sizes = {"stem_channels": 16, "partition_size": 4, "block_channels": [16, 32], "block_layers": [1, 1]}
        model = MaxVit(input_size=(32, 32), head_dim=8, stochastic_depth_prob=0.0, num_classes=10, **sizes)
        return model.eval(), (32, 32)
    kinds: dict[str, Any] = {}
    if name.startswith("swin_v2"):
        kinds = {"block": swin_transformer.SwinTransformerBlockV2, "downsample_layer": swin_transformer.PatchMergingV2}
    sizes = {"patch_size": [4, 4], "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": [4, 4]}
    return SwinTransformer(num_classes=10, **sizes, **kinds).eval(), (64, 64)


def fit(model: nn.Module, structure: Structure) -> tuple[list[str], list[str]]:
    """Put SPT and LSA into a model; return the methods that fit, and why the others do not."""
    fitting, reasons = [], []
    for method in ("spt", "lsa"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of softmaxes that stay, which the table says
                retrofit(model, structure, METHODS[method], from_scratch=True, seed=1)
            fitting.append(method)
        except InputError as error:
            reasons.append(f"{method}: {reason_of(str(error), structure)}")
    return fitting, reasons


def reason_of(message: str, structure: Structure) -> str:
    """Return a reason without names of a single model and without what was looked for."""
    text = message.removeprefix(f"{structure.model}: ")
    text = text.removeprefix("spt: ").removeprefix("lsa: ").partition("; looked for")[0]
    for found in structure.attention:
        text = text.removeprefix(f"{found.path}: ")
    return text.partition(": they come from")[0].partition(" in scores of shape")[0]


def row_of(name: str, family: str) -> Row | None:
    """Return what holds of a model; None if it has no attention."""
    model, size = construct(name)
    structure = slbench.describe(model, size)
    named = any(part in type(module).__name__.lower() for module in model.modules() for part in ATTENDING)
    if not (structure.attention or structure.other_softmaxes or named):
        return None
    tokenizer = structure.tokenizer
    fitting, reasons = fit(model, structure)
    kinds = [found.relation for found in structure.attention]
    attention = [label for kind, label in RELATIONS.items() if kind in kinds]
    if any(found.learns_scale for found in structure.attention):
        attention.append("own learned scale")
    if structure.other_softmaxes and "none" not in kinds:
        attention.append("softmax of other kinds")
    embedding = "" if tokenizer is None else type(tokenizer.module).__name__.removeprefix("Retrofitted")
    return Row(family, VERDICTS[len(fitting)], embedding, ", ".join(attention), "; ".join(reasons))


def merged(found: Iterable[tuple[Row, list[str]]]) -> list[Row]:
    """Return rows of equal content as one; each comes with the models that it stands for, that which was run first."""
    rows: dict[tuple[str, ...], Row] = {}
    for row, models in found:
        known = rows.setdefault((row.family, row.verdict, row.tokenizer, row.attention, row.reason), row)
        known.models += models
        known.tested.append(models[0])
    for row in rows.values():
        row.tested = [] if row.family in UNTESTED else row.tested[:: 1 if row.family == "torchvision" else TESTED]
    return sorted(rows.values(), key=lambda row: (row.family, -VERDICTS.index(row.verdict)))


PAGE = """# Which models SPT and LSA fit

All {count} transformers of timm and hybrids with attention: {timm}; and {others} of torchvision: {torchvision}
({versions}).
Generated by `python -m tests.retrofit.support docs/model-support.md`: every model is built by its own entry point with
its own options, but with few layers, few heads and small images; the methods are put into it and run.
Models that are equal once they are small are run once ({distinct} are distinct). Of the families of timm that have
transformers, {without} models have no attention and are not counted.

A supported model takes SPT and LSA, one that is partly supported takes one of them. The column "tested" names those on
which every release checks the contract of [models from elsewhere](retrofit.md).

{table}

## Models

{models}
"""


def page(rows: list[Row], *, distinct: int, without: int) -> str:
    """Return the page with the counts of verdicts, the table and the names of all models."""

    def counts(package: str) -> tuple[int, str]:
        own = [row for row in rows if (row.family == "torchvision") == (package == "torchvision")]
        by_verdict = {v: sum(len(row.models) for row in own if row.verdict == v) for v in reversed(VERDICTS)}
        families = f" in {len({row.family for row in own})} families" if package == "timm" else ""
        return sum(by_verdict.values()), ", ".join(f"{n} {v}" for v, n in by_verdict.items()) + families

    heads = ["family", "models", "verdict", "tokenizer", "attention", "reason", "tested"]
    cells = [
        [row.family, str(len(row.models)), row.verdict, row.tokenizer, row.attention, row.reason, ", ".join(row.tested)]
        for row in rows
    ]
    (count, timm), (others, torchvision) = counts("timm"), counts("torchvision")
    listed = [
        f"**{row.family}, {row.verdict}**{f' ({row.reason})' if row.reason else ''}: "
        + ", ".join(name.partition(":")[2] for name in row.models)
        for row in rows
    ]
    return PAGE.format(
        count=count,
        timm=timm,
        others=others,
        torchvision=torchvision,
        versions=", ".join(f"{name} {version(name)}" for name in ("timm", "torchvision", "torch")),
        distinct=distinct,
        without=without,
        table=markdown_table(heads, cells),
        models="\n\n".join(listed).replace("_", "\\_"),
    )


def main(path: Path) -> None:
    """Write the page of all models."""
    groups = defaultdict[tuple[str, ...], list[str]](list)
    for name in timm_models.names():
        groups[timm_models.family_of(name), *timm_models.options_of(name)].append(f"timm:{name}")
    found, without = list[tuple[Row, list[str]]](), 0
    for (family, *_), models in groups.items():
        row = row_of(models[0], family)
        print(models[0], row, flush=True)
        if row is None:
            without += len(models)
        else:
            found.append((row, models))
    for name, variants in TORCHVISION.items():
        row = row_of(f"torchvision:{name}", "torchvision")
        assert row is not None
        found.append((row, [f"torchvision:{name}", *(f"torchvision:{each}" for each in variants if each != name)]))
    path.write_text(page(merged(found), distinct=len(found) - len(TORCHVISION), without=without))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
