"""Structure of a foreign model: its embedding, attention layers and merging layers, as methods meet them."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from slbench.errors import InputError
from slbench.methods.token_grid import TokenGrid
from slbench.retrofit.embedding import (
    AddedTokens,
    Embedding,
    TokensInPlace,
    layout_of,
    linear_maps,
    merging_layers,
)
from slbench.retrofit.interception import Intercepted, Plan, make_explicit
from slbench.retrofit.probe import BATCH, Call, Layer, Probe, Relation, probe
from slbench.retrofit.scores import RetrofittedScores

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
    learns_scale: bool  # the model has a learned scale already
    also_masked: tuple[int, ...]  # softmaxes without products over the same tokens
    tokens: TokenGrid | None
    scores: RetrofittedScores | None = None  # those of the method that the model has already

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
        if self.scores is not None:
            scale = self.scores.description
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
    other_softmaxes: tuple[str, ...] = ()  # layers with softmaxes that are not of queries and keys
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
        lines += [f"softmax of no products of queries and keys: {other}" for other in self.other_softmaxes]
        return "\n".join(lines)


def examine(
    model: nn.Module, image_size: int | tuple[int, int] | None = None, *, channels: int | None = None
) -> Structure:
    """Return the structure of a model, found by running `BATCH` random images through it.

    The model is left as it was, but that its `nn.MultiheadAttention` no longer uses torch's fused path for inference.

    Args:
        image_size: (height, width) or side in px; default: the model's own.
        channels: of the images; default: the model's own.
    Raises:
        InputError: if the image size is unknown, or the model does not take such images.
    """
    size = image_size_of(model, image_size)
    make_explicit(model)
    channels, seen = probed(model, size, channels_of(model) if channels is None else (channels,))
    attending = [layer.path for layer in seen.layers]
    embedding = find_embedding(model, seen, size=size, channels=channels, attending=attending)
    grid = None if embedding is None else embedding.grid
    attention = tuple(found for layer in seen.layers for found in found_in(model, layer, grid=grid))
    return Structure(
        model=type(model).__name__,
        image_size=size,
        in_channels=channels,
        tokenizer=embedding,
        other_embeddings=tuple(other_embeddings(model, embedding, channels=channels)),
        merging=tuple(merging_layers(model)),
        attention=attention,
        other_softmaxes=tuple(other_softmaxes(seen, attention)),
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


def channels_of(model: nn.Module) -> tuple[int, ...]:
    """Return the channels that a model's images may have: as it states, as its first convolution reads, 3, 1."""
    cfg = getattr(model, "default_cfg", None) or {}
    size = cfg.get("input_size") if isinstance(cfg, Mapping) else None
    owners = (model, getattr(model, "patch_embed", None), getattr(model, "config", None))
    names = ("in_chans", "in_channels", "num_channels")
    values = [getattr(owner, name, None) for owner in owners for name in names]
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    values += [None if first is None else first.in_channels, size[0] if size else None, 3, 1]
    return tuple(dict.fromkeys(value for value in values if isinstance(value, int) and value > 0))


def probed(model: nn.Module, size: tuple[int, int], channels: Sequence[int]) -> tuple[int, Probe]:
    """Return the first number of channels that a model takes, and what images of them showed.

    Raises:
        InputError: if it takes none; with what was wrong with the first.
    """
    parameter = next(model.parameters(), torch.empty(0))
    first: InputError | None = None
    for count in channels:
        images = torch.randn(BATCH, count, *size, generator=torch.Generator().manual_seed(0))
        try:
            return count, probe(model, images.to(parameter.device, parameter.dtype))
        except Exception as error:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            refused = InputError(
                f"{type(model).__name__}: does not take {count} x {size[0]} x {size[1]} images: {reason}"
            )
            refused.__cause__ = error
            first = first or refused
    assert first is not None
    raise first


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
        if any(isinstance(model.get_submodule(owner), TokensInPlace | AddedTokens) for owner in owners(path)):
            continue
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


def owners(path: str) -> Iterator[str]:
    """Yield the paths of the modules around another, the model included."""
    while path:
        path = path.rpartition(".")[0]
        yield path


def other_embeddings(model: nn.Module, embedding: Embedding | None, *, channels: int) -> Iterator[str]:
    """Yield the convolutions besides the embedding that read as many channels as images have, as of a second branch."""
    for path, module in model.named_modules():
        own = embedding is None or path == embedding.path or path.startswith(f"{embedding.path}.")
        if not own and isinstance(module, nn.Conv2d) and module.in_channels == channels and module.groups == 1:
            yield path


def found_in(model: nn.Module, layer: Layer, *, grid: tuple[int, int] | None) -> Iterator[FoundAttention]:
    """Yield the attention of a layer; with the scores of a method if it has any, in order of their calls."""
    scores = [scores for _, scores in layer.module.plans()] if isinstance(layer.module, Intercepted) else []
    for call in layer.calls:
        found = found_attention(model, layer, call, grid=grid)
        if scores and found.relation != "none":
            found = dataclasses.replace(found, scores=scores.pop(0))
        yield found


def other_softmaxes(seen: Probe, attention: Sequence[FoundAttention]) -> Iterator[str]:
    """Yield the layers, with shapes, whose softmaxes over 2 or more values are not of queries and keys over tokens."""
    claimed = {(found.path, number) for found in attention for number in (found.call.plan.softmax, *found.also_masked)}
    for layer in (*seen.layers, *seen.others):
        free = [shape for number, shape in layer.softmaxes if (layer.path, number) not in claimed] + layer.others
        free += [call.shape for call in layer.calls if call.relation == "none" and call.kind == "product"]
        shapes = dict.fromkeys(" x ".join(map(str, shape)) for shape in free if len(shape) > 2 and max(shape[1:]) > 1)
        if shapes:
            yield f"{layer.path or 'the model itself'} ({type(layer.module).__name__}, {', '.join(shapes)})"


def found_attention(model: nn.Module, layer: Layer, call: Call, *, grid: tuple[int, int] | None) -> FoundAttention:
    """Return an attention with what its module tells about heads and windows."""
    module, shape, stated = layer.module, call.shape, layer.num_heads
    axes = [axis for axis in range(-3, -len(shape) - 1, -1) if shape[axis] == stated]
    if shape[0] % BATCH == 0 and len(axes) > 1:  # the first axis counts images
        axes = [axis for axis in axes if axis != -len(shape)]
    ambiguous = len(axes) > 1
    if len(shape) == 3:
        heads, axis, ambiguous = (call.folded_heads or stated or 1), 0, call.folded_heads is None
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
        learns_scale=call.learns_scale or isinstance(getattr(module, "logit_scale", None), nn.Parameter),
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
