"""The backbones by name, and the methods that apply to each. Only `build` imports torch."""

import dataclasses
import functools
import importlib
from typing import TYPE_CHECKING, Any

from slbench.backbones.specs import (
    BACKBONES,
    BackboneEntry,
    BackboneSpec,
    PiTSpec,
    SwinSpec,
    TransformerSpec,
    ViTSpec,
)
from slbench.errors import InapplicableError, InputError
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from slbench.names import lookup
from slbench.validation import checked

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone

__all__ = [
    "BACKBONES",
    "NAMED",
    "PRESETS",
    "BackboneEntry",
    "Preset",
    "build",
    "check_method",
    "construct",
    "count_parameters",
    "default_spec",
    "meta_network",
    "resolve_network",
]


@dataclasses.dataclass(frozen=True)
class Preset:
    """Named sizes of a backbone. A run that uses them is a run of that backbone."""

    title: str
    sizes: BackboneSpec
    source: str

    @property
    def spec(self) -> type[BackboneSpec]:
        """Return the class of the sizes, as a `BackboneEntry` has it."""
        return type(self.sizes)


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


def resolve_network(spec: BackboneSpec, method: Method, *, shape: ImageShape) -> tuple[BackboneSpec, Method]:
    """Return a backbone and a method with all defaults resolved, checked against the images.

    A widened method becomes the plain one on a backbone with a wider MLP.

    Raises:
        InputError: if sizes do not fit the image, or the shift is 0 px or not smaller than the image.
        InapplicableError: if the method does not apply to the backbone.
    """
    check_method(spec, method)
    spec = spec.resolved(shape.size)
    if method.widened:
        spec = widened(spec, shape=shape)
        method = dataclasses.replace(method, widened=False)
    method = BACKBONES[spec.name].resolved(method)
    method.check_shift(spec.shift_unit, shape.size)
    return spec, method


TOLERANCE = 0.01  # relative difference allowed between the parameter counts of a widened backbone and "both"


@functools.cache
def widened(spec: BackboneSpec, *, shape: ImageShape) -> BackboneSpec:
    """Return the plain backbone with its MLP widened to the parameter count of SPT and LSA together.

    The count is linear in mlp_ratio, up to rounding to whole hidden units.

    Raises:
        InapplicableError: if no mlp_ratio matches within 1 %.
    """

    assert isinstance(spec, TransformerSpec), "a method is widened on backbones with tokens only"
    sizes: Any = spec  # a dataclass with a field mlp_ratio

    def parameters(ratio: float, name: str) -> int:
        sized, method = resolve_network(dataclasses.replace(sizes, mlp_ratio=ratio), METHODS[name], shape=shape)
        return count_parameters(sized, method, shape=shape)

    ratio = spec.mlp_ratio
    target, plain = parameters(ratio, "both"), parameters(ratio, "none")
    slope = parameters(ratio + 1, "none") - plain
    if slope <= 0:
        raise InapplicableError(f"none-wide: mlp_ratio does not widen {BACKBONES[spec.name].title}")
    counts = {ratio: plain}
    for _ in range(2):  # the second step corrects the rounding to whole hidden units
        ratio = round(ratio + (target - counts[ratio]) / slope, 3)
        counts[ratio] = parameters(ratio, "none")
    nearest = min(counts, key=lambda value: abs(counts[value] - target))
    if abs(counts[nearest] - target) > TOLERANCE * target:
        raise InapplicableError(
            f"none-wide: no mlp_ratio gives {BACKBONES[spec.name].title} the {target:,} parameters of SPT and LSA "
            f"within 1 %; nearest: {nearest:g} with {counts[nearest]:,}"
        )
    widened_sizes: BackboneSpec = dataclasses.replace(sizes, mlp_ratio=nearest)
    return widened_sizes


def count_parameters(spec: BackboneSpec, method: Method, *, shape: ImageShape) -> int:
    """Return the number of parameters of a network, without allocating them."""
    return sum(parameter.numel() for parameter in meta_network(spec, method, shape=shape).parameters())


def default_spec(name: str) -> BackboneSpec:
    """Return the paper's sizes of a backbone, or the sizes of a preset.

    Raises:
        InputError: if the name is unknown.
    """
    entry = lookup(NAMED, name, "backbone")
    sizes: BackboneSpec = entry.sizes if isinstance(entry, Preset) else checked(entry.spec, {"name": name}, where=name)
    return sizes


def build(spec: BackboneSpec, method: Method, *, shape: ImageShape, drop_path: float, seed: int) -> "Backbone":
    """Return the network of one run on the CPU, its initial values drawn from (seed, parameter name).

    Values that a network leaves as PyTorch constructs them depend on the seed as well.

    Args:
        drop_path: rate of stochastic depth, in [0, 1).
    """
    import torch

    from slbench.backbones.layers import initialize

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = construct(spec, method, shape=shape, drop_path=drop_path)
    initialize(network, seed=seed)
    return network


def meta_network(spec: BackboneSpec, method: Method, *, shape: ImageShape) -> "Backbone":
    """Return the network on the meta device: layers and parameters without values."""
    import torch

    with torch.device("meta"):
        return construct(spec, method, shape=shape, drop_path=0.0)


def construct(spec: BackboneSpec, method: Method, *, shape: ImageShape, drop_path: float) -> "Backbone":
    """Return the network without its initial values.

    Raises:
        InputError: if the sizes do not fit the images, or the method does not apply.
    """
    assert not method.widened, "widened methods are resolved by `resolve_network`"
    entry = BACKBONES[spec.name]
    module, name = entry.module.split(":")
    network: Backbone = getattr(importlib.import_module(module), name)(
        spec.resolved(shape.size), entry.resolved(method), shape=shape, drop_path=drop_path
    )
    return network
