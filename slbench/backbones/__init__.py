"""The backbones by name, and the methods that apply to each. Only `build` imports torch."""

import dataclasses
import functools
import importlib
from typing import TYPE_CHECKING, Any, Literal

from slbench.backbones.specs import (
    BackboneSpec,
    CaiTSpec,
    EfficientNetSpec,
    PiTSpec,
    ResNetSpec,
    SwinSpec,
    T2TSpec,
    ViTSpec,
)
from slbench.errors import InapplicableError, InputError
from slbench.methods import METHODS, Method
from slbench.names import lookup
from slbench.validation import checked

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone


@dataclasses.dataclass(frozen=True)
class BackboneEntry:
    """Entry of a backbone in `BACKBONES`."""

    title: str  # in tables
    spec: type[BackboneSpec]
    module: str  # "module:Class" of the network
    source: str
    pools: bool = False  # has pooling layers that S_pool can replace
    tokens: Literal["patches", "soft splits", "none"] = "patches"  # how an image becomes tokens

    def resolved(self, method: Method) -> Method:
        """Return the method with the defaults of this backbone resolved; see `Method.resolved`."""
        return method.resolved(pools=self.pools, soft_splits=self.tokens == "soft splits")


BACKBONES: dict[str, BackboneEntry] = {
    "vit": BackboneEntry("ViT", ViTSpec, "slbench.backbones.vit:ViT", "arXiv:2010.11929, sizes of arXiv:2112.13492"),
    "t2t": BackboneEntry(
        "T2T",
        T2TSpec,
        "slbench.backbones.t2t:T2T",
        "arXiv:2101.11986, sizes of arXiv:2112.13492",
        tokens="soft splits",
    ),
    "cait": BackboneEntry(
        "CaiT", CaiTSpec, "slbench.backbones.cait:CaiT", "arXiv:2103.17239, sizes of arXiv:2112.13492"
    ),
    "pit": BackboneEntry(
        "PiT", PiTSpec, "slbench.backbones.pit:PiT", "arXiv:2103.16302, sizes of arXiv:2112.13492", pools=True
    ),
    "swin": BackboneEntry(
        "Swin", SwinSpec, "slbench.backbones.swin:Swin", "arXiv:2103.14030, sizes of arXiv:2112.13492", pools=True
    ),
    "resnet56": BackboneEntry(
        "ResNet56", ResNetSpec, "slbench.backbones.convnets:ResNet", "arXiv:1512.03385, section 4.2", tokens="none"
    ),
    "resnet110": BackboneEntry(
        "ResNet110", ResNetSpec, "slbench.backbones.convnets:ResNet", "arXiv:1512.03385, section 4.2", tokens="none"
    ),
    "efficientnet-b0": BackboneEntry(
        "EfficientNet-B0",
        EfficientNetSpec,
        "slbench.backbones.convnets:EfficientNet",
        "arXiv:1905.11946, with a stem for small images",
        tokens="none",
    ),
}


@dataclasses.dataclass(frozen=True)
class Preset:
    """Named sizes of a backbone. A run that uses them is a run of that backbone."""

    title: str
    spec: BackboneSpec
    source: str


# Table 3 of arXiv:2112.13492, at 224 px. Sizes, layers and parameter counts are exactly those of the sources. Initial
# values, the epsilon of norms (1e-5) and the rates of stochastic depth are those of the backbone in its other sizes.
PRESETS: dict[str, Preset] = {
    "vit-tiny": Preset(
        "ViT-Tiny",
        ViTSpec(patch_size=16, dim=192, depth=12, num_heads=3, mlp_ratio=4.0, qkv_bias=True),
        "DeiT-Ti of arXiv:2012.12877, Table 1",
    ),
    "pit-xs": Preset(
        "PiT-XS",
        PiTSpec(
            patch_size=8,
            dims=(96, 192, 384),
            depths=(2, 6, 4),
            num_heads=(2, 4, 8),
            mlp_ratio=4.0,
            variant="original",
        ),
        "PiT-XS of arXiv:2103.16302, Table 1",
    ),
    "swin-tiny": Preset(
        "Swin-T",
        SwinSpec(
            patch_size=4,
            window_size=7,
            dims=(96, 192, 384, 768),
            depths=(2, 2, 6, 2),
            num_heads=(3, 6, 12, 24),
            mlp_ratio=4.0,
            absolute_positions=False,
        ),
        "Swin-T of arXiv:2103.14030, section 3.3",
    ),
}


NAMED: dict[str, BackboneEntry | Preset] = {**BACKBONES, **PRESETS}  # names that a study may use


def check_method(spec: BackboneSpec, method: Method) -> None:
    """Raise InapplicableError if a method (before defaults are resolved) does not apply to a backbone."""
    entry = BACKBONES[spec.name]
    shifted = method.shift != "none"
    if entry.tokens == "none" and (method.changes_tokenizer or method.changes_attention or method.widened):
        raise InapplicableError(f"{entry.title} has neither tokens nor attention; allowed method: none")
    if shifted and method.s_pool == "no" and not entry.pools:
        raise InapplicableError(f"s_pool = 'no' does not apply to {entry.title}, which has no pooling layers")
    if shifted and method.layer_norm is False and entry.tokens == "soft splits":
        raise InapplicableError(f"layer_norm = false does not apply to {entry.title}, where SPT has no norm")
    try:
        entry.resolved(method)
    except InputError as error:
        raise InapplicableError(str(error)) from error


def resolve_network(
    spec: BackboneSpec, method: Method, *, image_size: tuple[int, int], in_channels: int, num_classes: int
) -> tuple[BackboneSpec, Method]:
    """Return a backbone and a method with all defaults resolved, checked against the image (height, width).

    A widened method becomes the plain one on a backbone with a wider MLP.

    Raises:
        InputError: if sizes do not fit the image, or the shift is 0 px or not smaller than the image.
        InapplicableError: if the method does not apply to the backbone.
    """
    check_method(spec, method)
    spec = spec.resolved(image_size)
    if method.widened:
        spec = widened(spec, image_size=image_size, in_channels=in_channels, num_classes=num_classes)
        method = dataclasses.replace(method, widened=False)
    method = BACKBONES[spec.name].resolved(method)
    patch_size = getattr(spec, "patch_size", None) or 1  # without patches a shift is in px
    method.check_shift(patch_size, image_size)
    return spec, method


TOLERANCE = 0.01  # relative difference allowed between the parameter counts of a widened backbone and "both"


@functools.cache
def widened(spec: BackboneSpec, *, image_size: tuple[int, int], in_channels: int, num_classes: int) -> BackboneSpec:
    """Return the plain backbone with its MLP widened to the parameter count of SPT and LSA together.

    The count is linear in mlp_ratio, up to rounding to whole hidden units.

    Raises:
        InapplicableError: if no mlp_ratio matches within 1 %.
    """

    def parameters(sized: BackboneSpec, name: str) -> int:
        sized, method = resolve_network(
            sized, METHODS[name], image_size=image_size, in_channels=in_channels, num_classes=num_classes
        )
        return count_parameters(sized, method, image_size=image_size, in_channels=in_channels, num_classes=num_classes)

    def with_ratio(ratio: float) -> BackboneSpec:
        change: dict[str, Any] = {"mlp_ratio": ratio}  # a field of every backbone that has tokens
        return dataclasses.replace(spec, **change)

    ratio: float = spec.mlp_ratio  # type: ignore[union-attr]
    target, plain = parameters(spec, "both"), parameters(spec, "none")
    slope = parameters(with_ratio(ratio + 1), "none") - plain
    counts = {ratio: plain}
    for _ in range(2):  # the second step corrects the rounding to whole hidden units
        ratio = round(ratio + (target - counts[ratio]) / slope, 3)
        counts[ratio] = parameters(with_ratio(ratio), "none")
    nearest = min(counts, key=lambda value: abs(counts[value] - target))
    if abs(counts[nearest] - target) > TOLERANCE * target:
        raise InapplicableError(
            f"none-wide: no mlp_ratio gives {BACKBONES[spec.name].title} the {target:,} parameters of SPT and LSA "
            f"within 1 %; nearest: {nearest:g} with {counts[nearest]:,}"
        )
    return with_ratio(nearest)


def count_parameters(
    spec: BackboneSpec, method: Method, *, image_size: tuple[int, int], in_channels: int, num_classes: int
) -> int:
    """Return the number of parameters of a network, without allocating them."""
    import torch

    with torch.device("meta"):
        network = construct(
            spec, method, image_size=image_size, in_channels=in_channels, num_classes=num_classes, drop_path=0.0
        )
    return sum(parameter.numel() for parameter in network.parameters())


def default_spec(name: str) -> BackboneSpec:
    """Return the paper's sizes of a backbone, or the sizes of a preset.

    Raises:
        InputError: if the name is unknown.
    """
    entry = lookup(NAMED, name, "backbone")
    spec: BackboneSpec = entry.spec if isinstance(entry, Preset) else checked(entry.spec, {"name": name}, where=name)
    return spec


def build(
    spec: BackboneSpec,
    method: Method,
    *,
    image_size: tuple[int, int],
    in_channels: int,
    num_classes: int,
    drop_path: float,
    seed: int,
) -> "Backbone":
    """Return the network of one run on the CPU, its initial values drawn from (seed, parameter name).

    Args:
        image_size: (height, width) in px.
        drop_path: rate of stochastic depth, in [0, 1).
    """
    from slbench.backbones.layers import initialize

    network = construct(
        spec, method, image_size=image_size, in_channels=in_channels, num_classes=num_classes, drop_path=drop_path
    )
    initialize(network, seed=seed)
    return network


def construct(
    spec: BackboneSpec,
    method: Method,
    *,
    image_size: tuple[int, int],
    in_channels: int,
    num_classes: int,
    drop_path: float,
) -> "Backbone":
    """Return the network without its initial values."""
    assert not method.widened, "widened methods are resolved by `resolve_network`"
    module, name = BACKBONES[spec.name].module.split(":")
    network: Backbone = getattr(importlib.import_module(module), name)(
        spec, method, image_size=image_size, in_channels=in_channels, num_classes=num_classes, drop_path=drop_path
    )
    return network
