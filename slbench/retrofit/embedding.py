"""Embeddings and patch merging of foreign models, and SPT or a control in their place."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.errors import InapplicableError
from slbench.methods.method import DIRECTIONS, Method
from slbench.methods.receptive_steps import Step, steps_of
from slbench.methods.spt import Shift, pooling, tokenizer
from slbench.retrofit.interception import Mixin, mixed, own_class
from slbench.rng import generator

Layout = Literal["grid", "channels last", "tokens"]  # (b d h w), (b h w d), (b n d) row by row


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """A module that maps an image, or a grid of tokens, to a grid of tokens of a fixed stride."""

    path: str
    module: nn.Module
    in_channels: int
    dim: int
    stride: int  # input px, or tokens, per output token along each axis: the side of a patch
    grid: tuple[int, int] | None = None  # of the output (down, across); None: as for any input
    reads: Layout = "grid"  # "tokens": the module gets their grid (down, across) as its second argument
    layout: Layout  # of the output
    merges: bool = False  # tokens, between two stages

    @property
    def conv(self) -> nn.Conv2d | None:
        """Return the module if it is a convolution of windows of the image."""
        module = self.module
        plain = isinstance(module, nn.Conv2d) and module.groups == 1 and set(module.dilation) == {1}
        plain = plain and len(set(module.kernel_size)) == len(set(module.stride)) == len(set(module.padding)) == 1  # type: ignore[arg-type]
        return module if plain and not self.merges and isinstance(module.padding, tuple) else None  # type: ignore[return-value]

    @property
    def kernel(self) -> int:
        """Return the side of what a token reads; that of a patch unless windows overlap."""
        return self.stride if self.conv is None else self.conv.kernel_size[0]

    @property
    def padding(self) -> int:
        """Return the zeros around the input."""
        return 0 if self.conv is None else int(self.conv.padding[0])

    @property
    def patches(self) -> nn.Conv2d | None:
        """Return the module if it is a convolution of patches that do not overlap."""
        return self.conv if (self.kernel, self.padding) == (self.stride, 0) else None

    def __str__(self) -> str:
        window = "" if self.conv is None else f", kernel {self.kernel}"
        grid = "" if self.grid is None else f", grid {self.grid[0]} x {self.grid[1]}"
        kind = type(self.module).__name__
        return f"{self.path} ({kind}{window}, stride {self.stride}, {self.dim} channels{grid})"


# Patch merging and pooling layers by package and class: what they read and return. PiT maps its class token beside the
# pooling, which is the submodule "conv".
MERGING: dict[tuple[str, str], tuple[Layout, Layout]] = {
    ("timm.models.swin_transformer", "PatchMerging"): ("channels last", "channels last"),
    ("timm.models.swin_transformer_v2", "PatchMerging"): ("channels last", "channels last"),
    ("timm.models.pit", "Pooling"): ("grid", "grid"),
    ("torchvision.models.swin_transformer", "PatchMerging"): ("channels last", "channels last"),
    ("torchvision.models.swin_transformer", "PatchMergingV2"): ("channels last", "channels last"),
    ("transformers.models.swin.modeling_swin", "SwinPatchMerging"): ("tokens", "tokens"),
}


def merging_layers(model: nn.Module) -> Iterator[Embedding]:
    """Yield the patch merging and pooling layers of the classes in `MERGING`, and those with S_pool in their place."""
    for path, module in model.named_modules():
        if isinstance(module, TokensInPlace) and module.merges and not path.endswith(".shifted"):
            yield module.as_merging(path)
        layouts = MERGING.get(own_class(module))
        if layouts is None:
            continue
        reads, layout = layouts
        map_ = module.get_submodule("conv" if hasattr(module, "conv") else "reduction")
        if isinstance(map_, TokensInPlace):  # which comes later
            continue
        if isinstance(map_, nn.Conv2d):
            path, module = f"{path}.conv", map_
            sizes = map_.in_channels, map_.out_channels
        else:
            assert isinstance(map_, nn.Linear)
            sizes = map_.in_features // 4, map_.out_features
        yield Embedding(
            path=path,
            module=module,
            in_channels=sizes[0],
            dim=sizes[1],
            stride=2,
            reads=reads,
            layout=layout,
            merges=True,
        )


def layout_of(module: nn.Module, output: Any, size: tuple[int, int]) -> tuple[Layout, int, int, tuple[int, int]] | None:
    """Return layout, channels, stride and grid of the output of a module for an image (height, width), or None."""
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        return None
    if isinstance(module, nn.Conv2d):
        stride = module.stride[0]
        down, across = output.shape[-2:]
        square = {*module.stride} == {stride} and len({*module.kernel_size}) == 1
        return ("grid", output.shape[1], stride, (down, across)) if square and stride > 1 else None
    height, width = size
    if isinstance(module, TokensInPlace):
        return module.layout, len(module.weight), module.stride, module.grid(size)
    if output.ndim == 4:
        layouts: tuple[tuple[Layout, torch.Size, int], ...] = (
            ("grid", output.shape[-2:], output.shape[1]),
            ("channels last", output.shape[1:3], output.shape[3]),
        )
        for layout, (down, across), dim in layouts:
            stride = height // max(down, 1)
            if stride > 1 and (down * stride, across * stride) == (height, width):
                return layout, dim, stride, (down, across)
        return None
    count, dim = output.shape[1:]
    for stride in range(2, min(size) + 1):
        if height % stride == width % stride == 0 and (height // stride) * (width // stride) == count:
            return "tokens", dim, stride, (height // stride, width // stride)
    return None


def as_grid(layout: Layout, x: Tensor, size: tuple[int, int] | None = None) -> Float[Tensor, "b c h w"]:
    """Return tokens in a layout as a grid; `size` is the grid (down, across) of "tokens"."""
    if layout == "channels last":
        return x.permute(0, 3, 1, 2)
    if layout == "tokens":
        assert size is not None
        return rearrange(x, "b (h w) c -> b c h w", h=size[0])
    return x


def laid_out(tokens: Float[Tensor, "b n d"], layout: Layout, *, rows: int | Tensor) -> Tensor:
    """Return tokens in a layout; the number of rows is a tensor while operations are traced to count them."""
    if layout == "tokens":
        return tokens
    return rearrange(tokens, "b (h w) d -> b d h w" if layout == "grid" else "b (h w) d -> b h w d", h=rows)


class TokensInPlace(nn.Module):
    """A tokenizer (b c h w) to (b n d) with the inputs and outputs of the embedding in whose place it is.

    Of an image that patches do not tile, the rest below and on the right is left out; when tokens are merged, the grid
    is padded with zeros there.
    """

    def __init__(self, tokens: nn.Module, embedding: Embedding) -> None:
        super().__init__()
        self.tokens, self.reads, self.layout = tokens, embedding.reads, embedding.layout
        self.merges = embedding.merges
        self.kernel, self.stride, self.padding = embedding.kernel, embedding.stride, embedding.padding

    def as_merging(self, path: str) -> Embedding:
        """Return it as the merging layer that it is."""
        channels, dim = linear_maps(self)[-1].weight.shape[1], len(self.weight)
        return Embedding(
            path=path,
            module=self,
            in_channels=channels,
            dim=dim,
            stride=self.stride,
            reads=self.reads,
            layout=self.layout,
            merges=True,
        )

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the tokens (down, across) of an input (height, width)."""
        down, across = ((side + 2 * self.padding - self.kernel) // self.stride + 1 for side in size)
        return down, across

    @property
    def weight(self) -> Tensor:
        """Return the weight of the linear map, whose type some models ask for."""
        return linear_maps(self)[-1].weight

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        grid = as_grid(self.reads, x, size)
        height, width = grid.shape[-2:]
        if not self.merges and self.kernel == self.stride:  # a convolution leaves the rest
            grid = grid[..., : height // self.stride * self.stride, : width // self.stride * self.stride]
        elif self.merges and (height % self.stride or width % self.stride):
            grid = F.pad(grid, (0, -width % self.stride, 0, -height % self.stride))
        tokens: Tensor = self.tokens(grid)
        rows = (grid.shape[-2] + 2 * self.padding - self.kernel) // self.stride + 1
        return laid_out(tokens, self.layout, rows=rows)


class AddedTokens(Mixin):
    """Mixed into the class of an embedding, to whose output it adds a linear map of shifted copies.

    The map starts at zero, so that the embedding starts as it was. One linear map of the patches of the image and of
    the copies, as in SPT without layer norm, is such a sum.
    """

    shifted: TokensInPlace

    def forward(self, x: Tensor, *args: Any, **named: Any) -> Tensor:
        own: Tensor = super().forward(x, *args, **named)  # type: ignore[misc]
        output: Tensor = own + self.shifted(x, *args, **named)
        return output


class AddedTokensInSequence(AddedTokens):
    """`AddedTokens` for `nn.Sequential`, whose parts, as its forward sees them, do not include `shifted`."""

    _modules: dict[str, nn.Module]

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(list(self._modules.values())[:-1])

    def __len__(self) -> int:
        return len(self._modules) - 1


class CopiesOnly(nn.Module):
    """Linear map, zero at first, of the patches of the shifted copies of a grid: (b c h w) to (b n d)."""

    def __init__(self, embedding: Embedding, method: Method) -> None:
        super().__init__()
        self.channels = embedding.in_channels
        directions = DIRECTIONS[method.shift]
        pixels = 1 if embedding.merges else method.pixels(embedding.stride)
        self.shift = Shift(directions, pixels=pixels)
        self.map = nn.Conv2d(
            self.channels * len(directions),
            embedding.dim,
            embedding.kernel,
            stride=embedding.stride,
            padding=embedding.padding,
            bias=False,
        )
        nn.init.zeros_(self.map.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        grid: Tensor = self.map(self.shift(x)[:, self.channels :])
        return rearrange(grid, "b d h w -> b (h w) d")


def linear_maps(module: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """Return the linear maps and convolutions in a module."""
    return [part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d)]


def add_copies(embedding: Embedding, method: Method) -> None:
    """Let an embedding also read shifted copies, with weights of zero, in place."""
    module = embedding.module
    mixin = AddedTokensInSequence if isinstance(module, nn.Sequential) else AddedTokens
    module.__class__ = mixed(mixin, type(module))
    like = next(module.parameters())
    module.shifted = TokensInPlace(CopiesOnly(embedding, method), embedding).to(like.device, like.dtype)


def replacement(embedding: Embedding, method: Method, *, keep: bool, seed: int) -> TokensInPlace:
    """Return the tokenizer of a method in place of an embedding.

    Args:
        method: resolved.
        keep: start from the embedding's weights, the rest at zero; else all are drawn from (seed, path).
    Raises:
        InapplicableError: if weights shall be kept and the embedding is no convolution of patches.
    """
    own = embedding.module
    build = pooling_of if embedding.merges else tokenizer_of
    like = next(own.parameters())
    tokens = build(embedding, method).to(like.device, like.dtype)
    (last,) = linear_maps(tokens)
    if keep and embedding.patches is None:
        field = f"layer_norm: {bool(method.layer_norm)}" if method.window == 1 else f"window: {method.window}"
        raise InapplicableError(
            f"{field} does not start from the weights of {embedding}, which is no convolution of patches; "
            "set from_scratch to true, or use shifts without layer norm"
        )
    with torch.no_grad():
        bias = getattr(own, "bias", None)
        if last.bias is not None:
            last.bias.copy_(bias) if isinstance(bias, Tensor) else last.bias.zero_()
        if keep:
            assert embedding.patches is not None
            copy_patch_weights(embedding.patches.weight, last.weight, window=method.window)
        else:
            source = generator(seed, "initial", f"{embedding.path}.weight")
            drawn = torch.empty(last.weight.shape).normal_(0.0, weight_std(embedding, last.weight), generator=source)
            last.weight.copy_(drawn)
    return TokensInPlace(tokens, embedding)


class WindowTokens(nn.Module):
    """SPT on the windows of an embedding that overlap: shift, flatten, normalise and project, (b c h w) to (b n d)."""

    def __init__(self, embedding: Embedding, method: Method) -> None:
        super().__init__()
        directions = DIRECTIONS[method.shift]
        features = embedding.in_channels * (1 + len(directions)) * embedding.kernel**2
        self.geometry = {"kernel_size": embedding.kernel, "stride": embedding.stride, "padding": embedding.padding}
        self.shift = Shift(directions, pixels=method.pixels(embedding.stride)) if directions else nn.Identity()
        self.norm = nn.LayerNorm(features) if method.layer_norm else nn.Identity()
        self.project = nn.Linear(features, embedding.dim)
        window = Step("window", embedding.kernel, embedding.stride, padding=embedding.padding)
        self.receptive_steps = (*steps_of(self.shift), window)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        windows = F.unfold(self.shift(x), **self.geometry).transpose(1, 2)
        tokens: Tensor = self.project(self.norm(windows))
        return tokens


def tokenizer_of(embedding: Embedding, method: Method) -> nn.Module:
    """Return the tokenizer of a method with the sizes of an embedding.

    Raises:
        InapplicableError: for windows of two patches around patches that overlap already.
    """
    if embedding.kernel == embedding.stride and embedding.padding == 0:
        return tokenizer(method, embedding.in_channels, embedding.dim, patch_size=embedding.stride)
    if method.window != 1:
        raise InapplicableError(f"window: {embedding} reads windows that overlap already (got {method.window})")
    return WindowTokens(embedding, method)


def pooling_of(embedding: Embedding, method: Method) -> nn.Module:
    """Return S_pool of a method with the sizes of a merging layer."""
    return pooling(method, embedding.in_channels, embedding.dim, default=embedding.module)


def weight_std(embedding: Embedding, weight: Tensor) -> float:
    """Return the standard deviation of new weights (d ...): outputs vary as with the embedding's own initial weights.

    An embedding of several layers has no such weights; then it is Xavier's.
    """
    fan_in, fan_out = weight[0].numel(), len(weight)
    own = linear_maps(embedding.module)
    if len(own) == 1 and (std := float(own[0].weight.std())) > 0:
        return std * math.sqrt(own[0].weight[0].numel() / fan_in)
    return math.sqrt(2 / (fan_in + fan_out))


def copy_patch_weights(own: Tensor, new: Tensor, *, window: int) -> None:
    """Set the weights of a new map to those of a convolution of patches (d c p p); all else that it reads gets zero."""
    dim, channels, stride, _ = own.shape
    new.zero_()
    if window == 2:  # windows of 2P flatten channels first, from P / 2 before the patch
        centre = slice(stride // 2, stride // 2 + stride)
        new.view(dim, channels, 2 * stride, 2 * stride)[:, :, centre, centre] = own
    else:  # patches flatten pixel by pixel, channels last
        new.view(dim, stride, stride, -1)[..., :channels] = own.permute(0, 2, 3, 1)
