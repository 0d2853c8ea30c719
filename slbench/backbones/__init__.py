"""The backbones by name, and which rows of an ablation mean something on each.

Looking one up imports no torch; `build` does.
"""

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
    """What the table of backbones says of one."""

    title: str  # as tables print it
    spec: type[BackboneSpec]
    module: str  # "module:Class" of the network
    source: str
    pools: bool = False  # has pooling layers that S_pool can replace
    tokens: Literal["patches", "soft splits", "none"] = "patches"  # how an image becomes tokens

    def resolved(self, method: Method) -> Method:
        """The row with every default that this backbone implies written out; see `Method.resolved`."""
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
    """Sizes that have a name of their own. A run that uses one is a run of that backbone in those sizes."""

    title: str
    spec: BackboneSpec
    source: str


# Table 3 of arXiv:2112.13492, at 224 px. Sizes and layers are those of the sources, and so the parameters, exactly.
# Initial values, the 1e-5 in norms, and how stochastic depth is spread are the backbone's here, as in its other sizes.
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


NAMED: dict[str, BackboneEntry | Preset] = {**BACKBONES, **PRESETS}  # what a study can ask for


def check_method(spec: BackboneSpec, method: Method) -> None:
    """Raise InapplicableError, in one line, if a row as it was asked for means nothing on a backbone."""
    entry = BACKBONES[spec.name]
    shifted = method.shift != "none"
    if entry.tokens == "none" and (method.changes_tokenizer or method.changes_attention or method.widened):
        raise InapplicableError(f"{entry.title} has neither tokens nor attention: only the row 'none' means something")
    if shifted and method.s_pool == "no" and not entry.pools:
        raise InapplicableError(f"s_pool = 'no' means nothing on {entry.title}, which has no pooling layers")
    if shifted and method.layer_norm is False and entry.tokens == "soft splits":
        raise InapplicableError(
            f"layer_norm = false means nothing on {entry.title}, where SPT has no norm to leave out"
        )
    try:
        entry.resolved(method)
    except InputError as error:
        raise InapplicableError(str(error)) from error


def resolve_network(
    spec: BackboneSpec, method: Method, *, image_size: tuple[int, int], in_channels: int, num_classes: int
) -> tuple[BackboneSpec, Method]:
    """A backbone and a row with every default written out, checked against each other and the image (height, width).

    A widened row comes out as the plain one, on the backbone whose MLP is as wide as it asks for.

    Raises:
        InputError: for sizes that do not fit the image, or a shift that is 0 px or empties it.
        InapplicableError: if the row means nothing on the backbone.
    """
    check_method(spec, method)
    spec = spec.resolved(image_size)
    if method.widened:
        spec = widened(spec, image_size=image_size, in_channels=in_channels, num_classes=num_classes)
        method = dataclasses.replace(method, widened=False)
    method = BACKBONES[spec.name].resolved(method)
    patch_size = getattr(spec, "patch_size", None) or 1  # without patches a shift is given in pixels
    method.check_shift(patch_size, image_size)
    return spec, method


MATCHED = 0.01  # share of the parameters by which a widened backbone may miss those of "both"


@functools.cache
def widened(spec: BackboneSpec, *, image_size: tuple[int, int], in_channels: int, num_classes: int) -> BackboneSpec:
    """The backbone with the MLP that gives it, without SPT and LSA, the parameters it has with both.

    They are linear in the hidden width of the MLP, and so in mlp_ratio, but for rounding.

    Raises:
        InapplicableError: if no ratio comes within 1 %.
    """

    def parameters(sized: BackboneSpec, row: str) -> int:
        sized, method = resolve_network(
            sized, METHODS[row], image_size=image_size, in_channels=in_channels, num_classes=num_classes
        )
        return count_parameters(sized, method, image_size=image_size, in_channels=in_channels, num_classes=num_classes)

    def with_ratio(ratio: float) -> BackboneSpec:
        change: dict[str, Any] = {"mlp_ratio": ratio}  # a field of every backbone that has tokens
        return dataclasses.replace(spec, **change)

    ratio: float = spec.mlp_ratio  # type: ignore[union-attr]
    target, plain = parameters(spec, "both"), parameters(spec, "none")
    slope = parameters(with_ratio(ratio + 1), "none") - plain
    reached = {ratio: plain}
    for _ in range(2):  # the second step mends what rounding to whole hidden units lost in the first
        ratio = round(ratio + (target - reached[ratio]) / slope, 3)
        reached[ratio] = parameters(with_ratio(ratio), "none")
    nearest = min(reached, key=lambda found: abs(reached[found] - target))
    if abs(reached[nearest] - target) > MATCHED * target:
        raise InapplicableError(
            f"none-wide: no mlp_ratio gives {BACKBONES[spec.name].title} the {target:,} parameters that it has with "
            f"SPT and LSA within 1 %: {nearest:g} gives {reached[nearest]:,}"
        )
    return with_ratio(nearest)


def count_parameters(
    spec: BackboneSpec, method: Method, *, image_size: tuple[int, int], in_channels: int, num_classes: int
) -> int:
    """Parameters of a network, which is shaped but not filled: no memory is taken for it."""
    import torch

    with torch.device("meta"):
        network = construct(
            spec, method, image_size=image_size, in_channels=in_channels, num_classes=num_classes, drop_path=0.0
        )
    return sum(parameter.numel() for parameter in network.parameters())


def default_spec(name: str) -> BackboneSpec:
    """The sizes of a backbone as the paper has them, or of a preset.

    Raises:
        InputError: if there is no such backbone.
    """
    found = lookup(NAMED, name, "backbone")
    spec: BackboneSpec = found.spec if isinstance(found, Preset) else checked(found.spec, {"name": name}, where=name)
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
    """The network of one run, its initial values drawn from (seed, parameter name).

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
    """The network as its class constructs it, before initial values are drawn."""
    assert not method.widened, "a widened row is a plain one on a wider backbone: see `fitted`"
    module, name = BACKBONES[spec.name].module.split(":")
    network: Backbone = getattr(importlib.import_module(module), name)(
        spec, method, image_size=image_size, in_channels=in_channels, num_classes=num_classes, drop_path=drop_path
    )
    return network
