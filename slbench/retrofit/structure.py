"""Structure of a foreign model: its embedding, attention layers and merging layers, as methods meet them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from slbench.errors import InputError
from slbench.methods.token_grid import TokenGrid
from slbench.retrofit.embedding import Embedding, layout_of, linear_maps, merging_layers
from slbench.retrofit.interception import Plan, make_explicit
from slbench.retrofit.probe import BATCH, Call, Layer, Probe, Relation, probe

LOOKED_FOR = {
    "tokenizer": "a convolution, or a stem of few, that maps the image to the tokens of the first attention",
    "attention": "scaled_dot_product_attention, nn.MultiheadAttention, or a softmax of products of queries and keys",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundAttention:
    """A product of queries and keys in an attention layer of a model."""

    layer: Layer
    call: Call
    num_heads: int
    heads_axis: int  # of the scores, from the end; 0: folded into the first axis
    ambiguous: bool  # more than one axis may be that of the heads
    learns_scale: bool  # the model has a learned scale per head already
    also_masked: tuple[int, ...]  # softmaxes without products over the same tokens
    tokens: TokenGrid | None

    @property
    def path(self) -> str:
        """Return the path of its module in the model."""
        return self.layer.path

    @property
    def relation(self) -> Relation:
        """Return whether queries and keys are the same tokens."""
        return self.call.relation

    @property
    def own_scale(self) -> float:
        """Return the factor that the model applies to products of queries and keys."""
        if self.call.scale is not None:
            return self.call.scale
        if self.call.scale_after != 1.0 and not self.learns_scale:
            return self.call.scale_after
        scale = getattr(self.layer.module, "scale", None)
        if isinstance(scale, int | float) and scale > 0:
            return float(scale)
        return float(self.call.head_dim**-0.5)

    @property
    def scale_after(self) -> float:
        """Return the factor that the model applies to products after they are computed; queries have the rest."""
        return self.call.scale_after

    @property
    def plan(self) -> Plan:
        """Return which calls of the layer belong to it."""
        return self.call.plan._replace(also_masked=self.also_masked)

    def __str__(self) -> str:
        *_, queries, keys = self.call.shape
        kind = {
            "self": "self-attention",
            "cross": "cross-attention",
            "none": "no attention over tokens",
            "unknown": "attention of separate inputs",
        }[self.relation]
        grid = "" if self.tokens is None else f", grid {self.tokens.height} x {self.tokens.width}"
        window = "" if self.tokens is None or not self.tokens.window else f" in windows of {self.tokens.window}"
        scale = "learned by the model" if self.learns_scale else f"{self.own_scale:.4g}"
        return (
            f"{self.path} ({type(self.layer.module).__name__}): {kind}, {queries} x {keys} tokens, "
            f"{self.num_heads} heads, scale {scale}{grid}{window}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Structure:
    """What `slbench.describe` found in a model; as text, one line per part."""

    model: str  # class
    image_size: tuple[int, int]
    in_channels: int
    tokenizer: Embedding | None
    other_embeddings: tuple[str, ...]  # convolutions besides the tokenizer that read as many channels as images have
    merging: tuple[Embedding, ...]  # patch merging and pooling layers that S_pool can replace
    attention: tuple[FoundAttention, ...]  # in order of computation
    retrofitted: str = ""  # the method that the model has already

    @property
    def over_tokens(self) -> tuple[FoundAttention, ...]:
        """Return the self-attention and cross-attention, without attention over channels."""
        return tuple(found for found in self.attention if found.relation != "none")

    @property
    def self_attention(self) -> tuple[FoundAttention, ...]:
        """Return the attention with the same tokens as queries and keys."""
        return tuple(found for found in self.attention if found.relation == "self")

    @property
    def class_tokens(self) -> int | None:
        """Return the tokens besides the grid of patches in the first self-attention; None: unknown."""
        if self.tokenizer is None or self.tokenizer.grid is None or not self.self_attention:
            return None
        first = self.self_attention[0].call.shape
        grid = math.prod(self.tokenizer.grid)
        return first[-1] - grid if grid <= first[-1] <= grid + 16 else None

    def __str__(self) -> str:
        lines = [f"{self.model} on {self.in_channels} x {self.image_size[0]} x {self.image_size[1]}"]
        if self.retrofitted:
            lines.append(f"retrofitted: {self.retrofitted}")
        lines.append(f"tokenizer: {self.tokenizer or 'none found'}")
        if self.class_tokens is not None:
            lines.append(f"tokens besides patches: {self.class_tokens}")
        lines += [f"merging: {merging}" for merging in self.merging] or ["merging: none of a known class"]
        lines += [f"attention: {found}" for found in self.attention] or ["attention: none found"]
        return "\n".join(lines)


def examine(model: nn.Module, image_size: int | tuple[int, int] | None = None) -> Structure:
    """Return the structure of a model, found by running `BATCH` random images through it.

    The model is left as it was, but that its `nn.MultiheadAttention` no longer uses torch's fused path for inference.

    Args:
        image_size: (height, width) or side in px; default: the model's own.
    Raises:
        InputError: if the image size is unknown, or the model does not take such images.
    """
    size, channels = image_size_of(model, image_size), channels_of(model)
    make_explicit(model)
    parameter = next(model.parameters())
    images = torch.randn(BATCH, channels, *size, generator=torch.Generator().manual_seed(0))
    try:
        seen = probe(model, images.to(parameter.device, parameter.dtype))
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(
            f"{type(model).__name__}: does not take {channels} x {size[0]} x {size[1]} images: {reason}"
        ) from error
    attending = [layer.path for layer in seen.layers]
    embedding = find_embedding(model, seen, size=size, channels=channels, attending=attending)
    return Structure(
        model=type(model).__name__,
        image_size=size,
        in_channels=channels,
        tokenizer=embedding,
        other_embeddings=tuple(other_embeddings(model, embedding, channels=channels)),
        merging=tuple(merging_layers(model)),
        attention=tuple(
            found_attention(model, layer, call, grid=None if embedding is None else embedding.grid)
            for layer in seen.layers
            for call in layer.calls
        ),
        retrofitted=getattr(model, "slbench_method", ""),
    )


def image_size_of(model: nn.Module, image_size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return the image size (height, width) of a model, as given or as the model states it.

    Raises:
        InputError: if it is not given and the model does not state it.
    """
    config, cfg = getattr(model, "config", None), getattr(model, "default_cfg", None) or {}
    stated = (
        getattr(getattr(model, "patch_embed", None), "img_size", None),
        getattr(model, "image_size", None),
        getattr(config, "image_size", None),
        cfg.get("input_size", (None,))[1:] if isinstance(cfg, Mapping) else None,
    )
    for value in (image_size, *stated):
        if isinstance(value, int):
            return value, value
        if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(side, int) for side in value):
            return value[0], value[1]
    raise InputError(f"{type(model).__name__}: image_size: not stated by the model; give it as (height, width) in px")


def channels_of(model: nn.Module) -> int:
    """Return the channels of a model's images: those of its first convolution, else 3."""
    convolutions = (module.in_channels for module in model.modules() if isinstance(module, nn.Conv2d))
    return next(convolutions, getattr(model, "in_chans", 3))


def find_embedding(
    model: nn.Module, seen: Probe, *, size: tuple[int, int], channels: int, attending: Sequence[str]
) -> Embedding | None:
    """Return the smallest module that maps the image to the grid of tokens that the first attention reads, or None."""
    if not seen.layers:
        return None
    first = found_attention(model, seen.layers[0], seen.layers[0].calls[0], grid=None)
    if first.relation == "none":
        return None
    shape = first.call.shape
    tokens = math.prod(shape) // (shape[-1] * first.num_heads * BATCH)
    for path, output in seen.readers:
        module = model.get_submodule(path)
        found = layout_of(module, output, size)
        if found is None or not linear_maps(module) or any(name.startswith(f"{path}.") for name in attending):
            continue
        layout, dim, stride, grid = found
        if len(linear_maps(module)) > math.log2(stride) + 1:  # a convolutional network, not an embedding
            continue
        if math.prod(grid) <= tokens <= 4 * math.prod(grid) + 16:  # with class tokens and padded windows
            return Embedding(
                path=path, module=module, in_channels=channels, dim=dim, stride=stride, grid=grid, layout=layout
            )
    return None


def other_embeddings(model: nn.Module, embedding: Embedding | None, *, channels: int) -> Iterator[str]:
    """Yield the convolutions besides the embedding that read as many channels as images have, as of a second branch."""
    for path, module in model.named_modules():
        own = embedding is None or path == embedding.path or path.startswith(f"{embedding.path}.")
        if not own and isinstance(module, nn.Conv2d) and module.in_channels == channels and module.groups == 1:
            yield path


def found_attention(model: nn.Module, layer: Layer, call: Call, *, grid: tuple[int, int] | None) -> FoundAttention:
    """Return an attention with what its module tells about heads and windows."""
    module, shape = layer.module, call.shape
    stated = next(
        (
            value
            for name in ("num_heads", "num_attention_heads", "heads")
            if isinstance(value := getattr(module, name, None), int)
        ),
        None,
    )
    axes = [axis for axis in range(-3, -len(shape) - 1, -1) if shape[axis] == stated]
    if shape[0] % BATCH == 0 and len(axes) > 1:  # the first axis counts images
        axes = [axis for axis in axes if axis != -len(shape)]
    ambiguous = len(axes) > 1
    if len(shape) == 3:
        heads, axis, ambiguous = (stated or 1), 0, True  # heads may be the slower or the faster index
    else:
        axis = axes[0] if axes else (-3 if shape[0] % BATCH == 0 else -4)
        heads = shape[axis]
    used = {other.plan.softmax for other in layer.calls}
    same = [number for number, other in layer.softmaxes if number not in used and other[-2:] == shape[-2:]]
    return FoundAttention(
        layer=layer,
        call=call,
        num_heads=heads,
        heads_axis=axis,
        ambiguous=ambiguous,
        learns_scale=isinstance(getattr(module, "logit_scale", None), nn.Parameter),
        also_masked=tuple(same) if call.relation == "self" else (),
        tokens=None if grid is None else token_grid(model, layer, call, heads_axis=axis, grid=grid),
    )


def token_grid(
    model: nn.Module, layer: Layer, call: Call, *, heads_axis: int, grid: tuple[int, int]
) -> TokenGrid | None:
    """Return where the tokens of an attention lie in the image; None where it is unknown.

    The grid is that of the embedding, halved any number of times; a class token is taken to be the first.
    """
    shape = call.shape
    if len(shape) != 4 or heads_axis != -3:
        return None
    sequences, queries, keys = shape[0] // BATCH, *shape[-2:]
    shift = window_shift(model, layer.path)
    while min(grid) > 0:
        height, width = grid
        count = height * width
        if sequences == 1 and call.relation == "self" and keys in (count, count + 1):
            return TokenGrid(height=height, width=width, class_token=keys == count + 1)
        if sequences == 1 and queries == 1 and keys in (count, count + 1):
            return TokenGrid(height=height, width=width, class_token=keys == count + 1, class_query_only=True)
        side = math.isqrt(keys)
        tiles = side * side == keys and height % side == width % side == 0
        if shift is not None and tiles and sequences == (height // side) * (width // side) and queries == keys:
            return TokenGrid(height=height, width=width, window=side, shift=shift)
        if grid == (1, 1):
            break
        grid = (math.ceil(height / 2), math.ceil(width / 2))
    return None


def window_shift(model: nn.Module, path: str) -> int | None:
    """Return the shift of the windows that an attention layer, or the block around it, states; None: not stated."""
    for owner in (path, path.rpartition(".")[0]):
        value: Any = getattr(model.get_submodule(owner), "shift_size", None)
        if isinstance(value, Sequence) and len(set(value)) == 1:
            value = value[0]
        if isinstance(value, int):
            return value
    return None
