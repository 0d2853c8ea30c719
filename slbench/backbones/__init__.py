"""The backbones by name, and the methods that apply to each. Only `build` imports torch."""

import dataclasses
import functools
import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slbench.backbones.specs import (
    BACKBONES,
    BackboneEntry,
    BackboneSpec,
    ForeignSpec,
    PiTSpec,
    SwinSpec,
    TransformerSpec,
    ViTSpec,
    backbone_entry,
    is_foreign,
)
from slbench.backbones.specs.foreign import foreign_spec
from slbench.backbones.specs.lower_bounds import LowerBounds
from slbench.errors import InapplicableError, InputError, RetrofitWarning
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from slbench.methods.method import CCT_LAYERS
from slbench.names import lookup
from slbench.text import shown
from slbench.validation import checked

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone

__all__ = [
    "BACKBONES",
    "NAMED",
    "PRESETS",
    "BackboneEntry",
    "Preset",
    "backbone_entry",
    "build",
    "check_method",
    "construct",
    "count_parameters",
    "default_spec",
    "lower_bounds",
    "meta_network",
    "named_title",
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
    """Raise InapplicableError if a method (before defaults are resolved) does not apply to a backbone.

    Whether it fits the layers of a foreign model is known once that is built; see `slbench.foreign`.
    """
    if isinstance(spec, ForeignSpec):
        spec.resolved_method(method)
        return
    entry = BACKBONES[spec.name]
    shifted = method.shift != "none"
    if entry.tokens == "none" and not method.is_plain:
        raise InapplicableError(f"{entry.title} has neither tokens nor attention; allowed method: none")
    if shifted and method.s_pool == "no" and not entry.pools:
        raise InapplicableError(f"s_pool = 'no' does not apply to {entry.title}, which has no pooling layers")
    if shifted and method.layer_norm is False and entry.tokens == "soft splits":
        raise InapplicableError(f"layer_norm = false does not apply to {entry.title}, where SPT has no norm")
    for field, value in method.additions.items():
        if not entry.has(field, value):
            others = ", ".join(other.title for other in BACKBONES.values() if other.has(field, value))
            raise InapplicableError(f"{field} = {value!r} does not apply to {entry.title}; backbones with it: {others}")
    try:
        entry.resolved(method)
    except InputError as error:
        raise InapplicableError(str(error)) from error


def resolve_network(
    spec: BackboneSpec, method: Method, *, shape: ImageShape, methods: Mapping[str, Method] = METHODS
) -> tuple[BackboneSpec, Method]:
    """Return a backbone and a method with all defaults resolved, checked against the images.

    A control of equal parameters becomes the plain method on a backbone with another width of the MLP.

    Args:
        methods: by the names that a control of equal parameters may have.
    Raises:
        InputError: if sizes do not fit the image, or the shift is 0 px or not smaller than the image.
        InapplicableError: if the method does not apply to the backbone.
    """
    if isinstance(spec, ForeignSpec):
        return spec, spec.resolved_method(method)
    check_method(spec, method)
    spec = spec.resolved(shape.size)
    if method.matched is not None:
        target = lookup(methods, method.matched, "method", where="match_parameters")
        if target.matched is not None:
            raise InputError(f"match_parameters: is itself such a control (got {shown(method.matched)})")
        spec = widened(spec, method.matched, target, shape=shape)
        method = dataclasses.replace(method, widened=False, match_parameters=None)
    method = BACKBONES[spec.name].resolved(method)
    spec.check_method(method, shape.size)
    return spec, method


TOLERANCE = 0.01  # relative difference allowed between the parameter counts of a control and its method


@functools.cache
def widened(spec: BackboneSpec, name: str, target: Method, *, shape: ImageShape) -> BackboneSpec:
    """Return the plain backbone with its MLP widened, or narrowed, to the parameter count of a method.

    The count is linear in mlp_ratio, up to rounding to whole hidden units.

    Args:
        name: of the method, for errors.
    Raises:
        InapplicableError: if no mlp_ratio matches within 1 %, or the method does not apply to the backbone.
    """
    assert isinstance(spec, TransformerSpec), "parameters are matched on backbones with tokens only"
    sizes: Any = spec  # a dataclass with a field mlp_ratio
    title = BACKBONES[spec.name].title

    def parameters(ratio: float, method: Method) -> int:
        sized, resolved = resolve_network(dataclasses.replace(sizes, mlp_ratio=ratio), method, shape=shape)
        return count_parameters(sized, resolved, shape=shape)

    ratio = spec.mlp_ratio
    wanted, plain = parameters(ratio, target), parameters(ratio, Method())
    slope = parameters(ratio + 1, Method()) - plain
    if slope <= 0:
        raise InapplicableError(f"match_parameters: mlp_ratio does not widen {title}")
    counts = {ratio: plain}
    for _ in range(2):  # the second step corrects the rounding to whole hidden units
        ratio = round(ratio + (wanted - counts[ratio]) / slope, 3)
        if ratio <= 0:
            break
        counts[ratio] = parameters(ratio, Method())
    nearest = min(counts, key=lambda value: abs(counts[value] - wanted))
    if abs(counts[nearest] - wanted) > TOLERANCE * wanted:
        raise InapplicableError(
            f"match_parameters: no mlp_ratio gives {title} the {wanted:,} parameters of '{name}' "
            f"within 1 %; nearest: {nearest:g} with {counts[nearest]:,}"
        )
    widened_sizes: BackboneSpec = dataclasses.replace(sizes, mlp_ratio=nearest)
    return widened_sizes


def lower_bounds(spec: BackboneSpec, method: Method, *, shape: ImageShape) -> LowerBounds:
    """Return lower bounds of the size of a resolved network: by the formula of the backbone, with the method's tokens.

    The parameters of an embedding that is not the backbone's are left out.
    """
    if method.embedding == "default":
        return spec.lower_bounds(shape)
    sizes: Any = spec  # a dataclass with a field patch_size
    if method.embedding in CCT_LAYERS:
        sizes = dataclasses.replace(sizes, patch_size=2 ** CCT_LAYERS[method.embedding])  # its grid, rounded down
    bounds: LowerBounds = sizes.lower_bounds(dataclasses.replace(shape, channels=0))
    return bounds


def count_parameters(spec: BackboneSpec, method: Method, *, shape: ImageShape) -> int:
    """Return the number of parameters of a network, without allocating them."""
    return sum(parameter.numel() for parameter in meta_network(spec, method, shape=shape).parameters())


def default_spec(name: str) -> BackboneSpec:
    """Return the paper's sizes of a backbone, the sizes of a preset, or a foreign model as its constructor makes it.

    Raises:
        InputError: if the name is unknown.
    """
    if is_foreign(name):
        return foreign_spec({"name": name}, where="backbone", folder=Path.cwd())
    entry = lookup(NAMED, name, "backbone")
    sizes: BackboneSpec = entry.sizes if isinstance(entry, Preset) else checked(entry.spec, {"name": name}, where=name)
    return sizes


def named_title(name: str) -> str:
    """Return the title in tables of a backbone, a preset or a foreign model."""
    return NAMED[name].title if name in NAMED else backbone_entry(name).title


def build(spec: BackboneSpec, method: Method, *, shape: ImageShape, drop_path: float, seed: int) -> "Backbone":
    """Return the network of one run on the CPU, its initial values drawn from (seed, parameter name).

    Values that a network leaves as PyTorch constructs them depend on the seed as well.

    Args:
        drop_path: rate of stochastic depth, in [0, 1).
    """
    import torch

    from slbench.backbones.attention_init import structure_attention
    from slbench.backbones.layers import initialize

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = construct(spec, method, shape=shape, drop_path=drop_path, seed=seed)
    initialize(network, seed=seed)
    structure_attention(network, method, seed=seed)
    return network


def meta_network(spec: BackboneSpec, method: Method, *, shape: ImageShape) -> "Backbone":
    """Return the network on the meta device: layers and parameters without values."""
    import torch

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RetrofitWarning)  # said by `slbench.foreign.check` before a grid
        return construct(spec, method, shape=shape, drop_path=0.0)


def construct(spec: BackboneSpec, method: Method, *, shape: ImageShape, drop_path: float, seed: int = 0) -> "Backbone":
    """Return the network without its initial values; those of a foreign model are drawn while it is constructed.

    Args:
        seed: of the parameters that a method adds to a foreign model.
    Raises:
        InputError: if the sizes do not fit the images, or the method does not apply.
    """
    assert method.matched is None, "controls of equal parameters are resolved by `resolve_network`"
    entry = backbone_entry(spec.name)
    module, name = entry.module.split(":")
    make: Any = getattr(importlib.import_module(module), name)
    network: Backbone
    if isinstance(spec, ForeignSpec):
        network = make(spec, spec.resolved_method(method), shape=shape, drop_path=drop_path, seed=seed)
    else:
        network = make(spec.resolved(shape.size), entry.resolved(method), shape=shape, drop_path=drop_path)
    return network
