"""Which models of timm and torchvision SPT and LSA fit: `python -m tests.retrofit.support FILE` writes the table.

One small model stands for a family, at its own image size; what holds for its modules holds for the larger ones.
"""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

import slbench
from slbench.errors import InputError
from slbench.markdown import markdown_table
from slbench.methods import METHODS
from slbench.retrofit.apply import check

TIMM = (
    *("vit_tiny_patch16_224", "vit_small_patch32_224", "vit_relpos_small_patch16_224"),
    *("vit_relpos_medium_patch16_cls_224", "vit_srelpos_small_patch16_224", "vit_betwixt_patch16_rope_reg4_gap_256"),
    *("vit_tiny_r_s16_p8_224", "vit_small_resnet26d_224", "vit_little_patch16_reg4_gap_256"),
    *("deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "deit3_small_patch16_224", "flexivit_small"),
    *("vit_pwee_patch16_reg1_gap_256", "test_vit", "test_vit2", "test_vit3", "test_vit4"),
    *("beit_base_patch16_224", "eva02_tiny_patch14_224", "eva02_small_patch14_224", "vit_small_patch16_rope_224"),
    *("pit_ti_224", "pit_xs_224", "pit_ti_distilled_224", "pit_s_224"),
    *("swin_tiny_patch4_window7_224", "swin_s3_tiny_224", "swinv2_tiny_window8_256", "swinv2_cr_tiny_ns_224"),
    *("cait_xxs24_224", "cait_xxs36_224", "levit_128s", "levit_128", "levit_conv_128s", "levit_192"),
    *("twins_svt_small", "twins_pcpvt_small", "crossvit_tiny_240", "crossvit_9_240", "volo_d1_224"),
    *("maxvit_pico_rw_256", "maxvit_nano_rw_256", "coatnet_pico_rw_224", "coatnet_nano_rw_224", "test_maxvit"),
    *("coatnet_nano_cc_224", "maxxvit_rmlp_nano_rw_256", "nest_tiny", "nest_tiny_jx", "tiny_vit_5m_224"),
    *("davit_tiny", "hiera_tiny_224", "hieradet_small", "vitamin_small_224", "mobilevit_xxs", "mobilevit_xs"),
    *("mobilevitv2_050", "caformer_s18", "mvitv2_tiny", "tnt_s_legacy_patch16_224", "tnt_s_patch16_224"),
    *("visformer_tiny", "convit_tiny", "coat_tiny", "coat_lite_tiny", "gcvit_xxtiny", "xcit_nano_12_p16_224"),
    *("edgenext_xx_small", "pvt_v2_b0", "pvt_v2_b1", "efficientformer_l1", "efficientformerv2_s0", "efficientvit_m0"),
    *("efficientvit_b0", "sequencer2d_s", "mixer_s16_224", "poolformer_s12", "focalnet_tiny_srf", "repvit_m0_9"),
    *("swiftformer_xs", "nextvit_small", "fastvit_t8", "shvit_s1", "samvit_base_patch16_224", "test_byobnet"),
)  # fmt: skip
TORCHVISION = ("vit_b_32", "swin_t", "swin_v2_t", "maxvit_t", "resnet18")


@dataclass(frozen=True)
class Support:
    """What a method would meet in a model."""

    model: str
    family: str  # the module that defines it
    verdict: str  # "supported", "partly" or "refused"
    tokenizer: str
    attention: str
    reason: str = ""


def construct(name: str) -> tuple[nn.Module, tuple[int, int]]:
    """Return a model by name, such as "timm:levit_128s", and its image size."""
    package, _, own = name.partition(":")
    torch.manual_seed(0)
    if package == "torchvision":
        from torchvision.models import get_model  # type: ignore[import-untyped]

        return get_model(own).eval(), (224, 224)
    import timm

    model = timm.create_model(own, num_classes=10).eval()
    config = timm.get_pretrained_cfg(own)
    assert config is not None
    _, height, width = config.input_size
    return model, (height, width)


def support(name: str) -> Support:
    """Return which of SPT and LSA fit a model, and why one does not."""
    model, size = construct(name)
    family = type(model).__module__.rpartition(".")[2]
    try:
        structure = slbench.describe(model, size)
    except InputError as error:
        return Support(name, family, "refused", "", "", str(error))
    reasons = []
    for method in ("spt", "lsa"):
        try:
            check(structure, METHODS[method], method)
        except InputError as error:
            reasons.append(str(error).partition(": ")[2])
    kinds = [found.relation for found in structure.attention]
    parts = [f"{kinds.count(kind)} {label}" for kind, label in NAMES.items() if kind in kinds]
    tokenizer = structure.tokenizer
    return Support(
        model=name,
        family=family,
        verdict=("supported", "partly", "refused")[len(reasons)],
        tokenizer=""
        if tokenizer is None
        else f"{type(tokenizer.module).__name__} {tokenizer.kernel}/{tokenizer.stride}",
        attention=", ".join(parts),
        reason="; ".join(reasons),
    )


NAMES = {"self": "self", "cross": "cross", "none": "not over tokens"}


def table(rows: list[Support]) -> str:
    """Return the rows as a Markdown table."""
    heads = ["model", "family", "verdict", "tokenizer (kernel/stride)", "attention layers", "reason"]
    cells = [[row.model, row.family, row.verdict, row.tokenizer, row.attention, row.reason] for row in rows]
    return "\n".join(markdown_table(heads, cells))


def main(path: Path) -> None:
    """Write the table of all models, and the counts of verdicts."""
    rows = []
    for name in [*(f"timm:{name}" for name in TIMM), *(f"torchvision:{name}" for name in TORCHVISION)]:
        rows.append(support(name))
        print(rows[-1], flush=True)
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("supported", "partly", "refused")}
    families = len({row.family for row in rows})
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    versions = ", ".join(f"{name} {version(name)}" for name in ("timm", "torchvision", "torch"))
    path.write_text(f"{len(rows)} models of {families} families: {summary} ({versions}).\n\n{table(rows)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
