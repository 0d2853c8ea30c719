"""The registry of backbones: `BACKBONES` by name, and `BackboneSpec`, the sizes of any of them. Free of torch."""

from slbench.backbones.specs import cait, convnets, pit, swin, t2t, vit
from slbench.backbones.specs.base import BackboneEntry, BaseSpec, PatchSpec, TransformerSpec
from slbench.backbones.specs.cait import CaiTSpec
from slbench.backbones.specs.convnets import EfficientNetSpec, ResNetSpec
from slbench.backbones.specs.pit import PiTSpec
from slbench.backbones.specs.swin import SwinSpec
from slbench.backbones.specs.t2t import T2TSpec
from slbench.backbones.specs.vit import ViTSpec

__all__ = [
    "BACKBONES",
    "BackboneEntry",
    "BackboneSpec",
    "BaseSpec",
    "CaiTSpec",
    "EfficientNetSpec",
    "PatchSpec",
    "PiTSpec",
    "ResNetSpec",
    "SwinSpec",
    "T2TSpec",
    "TransformerSpec",
    "ViTSpec",
]

BackboneSpec = ViTSpec | T2TSpec | CaiTSpec | PiTSpec | SwinSpec | ResNetSpec | EfficientNetSpec

BACKBONES: dict[str, BackboneEntry] = {
    **vit.ENTRIES,
    **t2t.ENTRIES,
    **cait.ENTRIES,
    **pit.ENTRIES,
    **swin.ENTRIES,
    **convnets.ENTRIES,
}
