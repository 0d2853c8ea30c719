"""PiT: arXiv:2103.16302 in the sizes of arXiv:2112.13492."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.attention_layer import AttentionLayer, layers_of_stages
from slbench.backbones.depthwise_mlp import make_mlp
from slbench.backbones.layers import (
    Attention,
    Backbone,
    Block,
    init_xavier_normal,
    require_image_size,
    with_class_token,
)
from slbench.backbones.receptive_part import ReceptivePart, parts_of_stages
from slbench.backbones.specs import PiTSpec
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.spt import Tokenizer, pooling, tokenizer
from slbench.methods.token_grid import TokenGrid


class ConvEmbedding(nn.Module):
    """A convolution of kernel 2P and stride P without padding: (b c h w) to tokens (b n d), n = (h/P - 1)(w/P - 1).

    Source: arXiv:2103.16302, its released code.
    """

    def __init__(self, in_channels: int, dim: int, *, patch_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, dim, kernel_size=2 * patch_size, stride=patch_size)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        tokens: Tensor = rearrange(self.conv(x), "b d h w -> b (h w) d")
        return tokens


class GroupedConvPool(nn.Module):
    """A grouped 3 x 3 convolution of stride 2, then `mix`: (b c h w) to tokens (b n d), sides rounded up."""

    def __init__(self, dim: int, next_dim: int, *, mix: nn.Module) -> None:
        super().__init__()
        self.each = nn.Conv2d(dim, next_dim, kernel_size=3, stride=2, padding=1, groups=dim)
        self.mix = mix

    def forward(self, grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        tokens: Tensor = rearrange(self.mix(self.each(grid)), "b d h w -> b (h w) d")
        return tokens


@dataclass(frozen=True)
class VariantLayers:
    """Layers in which the variants of `PiTSpec` differ."""

    embedding: Callable[..., nn.Module]  # of (channels, width, patch_size=)
    embed: Callable[[Tensor, Tensor, Tensor], Tensor]  # of (class token, patches, positions): input of the blocks
    class_positions: int  # number of positions of the class token
    mix: Callable[[int], nn.Module]  # of (width): last layer of the pooling
    qkv_bias: bool


def with_all_positions(
    class_token: Float[Tensor, "1 1 d"], patches: Float[Tensor, "b n d"], positions: Float[Tensor, "1 n_plus_1 d"]
) -> Float[Tensor, "b n_plus_1 d"]:
    """Add positions to the class token and the patches."""
    return with_class_token(class_token, patches) + positions


def with_patch_positions(
    class_token: Float[Tensor, "1 1 d"], patches: Float[Tensor, "b n d"], positions: Float[Tensor, "1 n d"]
) -> Float[Tensor, "b n_plus_1 d"]:
    """Add positions to the patches only."""
    return with_class_token(class_token, patches + positions)


def convolution(dim: int) -> nn.Module:
    """Return a 1 x 1 convolution."""
    return nn.Conv2d(dim, dim, kernel_size=1)


LAYERS: dict[str, VariantLayers] = {
    "paper": VariantLayers(Tokenizer, with_all_positions, class_positions=1, mix=convolution, qkv_bias=False),
    "original": VariantLayers(ConvEmbedding, with_patch_positions, class_positions=0, mix=nn.Identity, qkv_bias=True),
}


class Pool(nn.Module):
    """Pooling between two stages: halve and widen the grid of patches, widen the class token.

    Args:
        rows: rows of the input grid.
        default: pooling of the grid for methods without S_pool.
    Source: arXiv:2103.16302, section 3.2.
    """

    def __init__(self, dim: int, next_dim: int, *, rows: int, method: Method, default: nn.Module) -> None:
        super().__init__()
        self.rows = rows
        self.grid = pooling(method, dim, next_dim, default=default)
        self.class_token = nn.Linear(dim, next_dim)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b m next_d"]:
        grid = rearrange(x[:, 1:], "b (h w) d -> b d h w", h=self.rows)
        return torch.cat([self.class_token(x[:, :1]), self.grid(grid)], dim=1)


class PiT(Backbone):
    """PiT: images (b c h w) to logits (b k); the grid of tokens is halved and widened between stages.

    Args:
        method: changes the tokenizer, the pooling (with S_pool), and every attention and MLP.
        drop_path: rate of stochastic depth, the same in every block.
    Source: sizes and initial values as in the released code of arXiv:2112.13492: learned positions
    and the class token start from a standard normal. `variant` is in `PiTSpec`.
    """

    def __init__(self, spec: PiTSpec, method: Method, *, shape: ImageShape, drop_path: float = 0.0) -> None:
        super().__init__()
        assert spec.patch_size is not None
        layers = LAYERS[spec.variant]
        rows, columns = spec.grid(shape.size, default_embedding=not method.changes_tokenizer)
        self.image_size = shape.size
        self.embed = layers.embed
        embedding = layers.embedding(shape.channels, spec.dims[0], patch_size=spec.patch_size)
        self.tokenizer = tokenizer(method, shape.channels, spec.dims[0], patch_size=spec.patch_size, default=embedding)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.dims[0]))
        self.positions = nn.Parameter(torch.zeros(1, layers.class_positions + rows * columns, spec.dims[0]))
        stages: list[nn.Module] = []
        for stage, (dim, depth, num_heads) in enumerate(zip(spec.dims, spec.depths, spec.num_heads, strict=True)):
            if stage > 0:
                previous = spec.dims[stage - 1]
                default = GroupedConvPool(previous, dim, mix=layers.mix(dim))
                stages.append(Pool(previous, dim, rows=rows, method=method, default=default))
                rows, columns = -(-rows // 2), -(-columns // 2)
            tokens = TokenGrid(height=rows, width=columns, class_token=True)
            attention = partial(
                Attention,
                dim,
                num_heads=num_heads,
                head_dim=dim // num_heads,
                method=method,
                tokens=tokens,
                qkv_bias=layers.qkv_bias,
            )
            mlp = partial(make_mlp, method, dim, int(dim * spec.mlp_ratio), tokens)
            stages += [Block(dim, attention=attention(), mlp=mlp(), drop_path=drop_path) for _ in range(depth)]
        self.blocks = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(spec.dims[-1])
        self.head = nn.Linear(spec.dims[-1], shape.classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        require_image_size(images, self.image_size)
        x = self.blocks(self.embed(self.class_token, self.tokenizer(images), self.positions))
        logits: Tensor = self.head(self.norm(x[:, 0]))
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return layers_of_stages(self.blocks, pool=Pool)

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        return parts_of_stages(self.tokenizer, (block.grid for block in self.blocks if isinstance(block, Pool)))

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        if parameter is self.class_token or parameter is self.positions:
            nn.init.normal_(parameter, generator=source)
        else:
            init_xavier_normal(module, name, parameter, source=source)
