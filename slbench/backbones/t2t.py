"""T2T-ViT: arXiv:2101.11986 in the sizes of arXiv:2112.13492."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.attention_layer import AttentionLayer, layers_of_blocks
from slbench.backbones.depthwise_mlp import make_mlp
from slbench.backbones.layers import (
    MLP,
    Attention,
    Backbone,
    Block,
    init_truncated_normal,
    require_image_size,
    rising_rates,
    with_class_token,
)
from slbench.backbones.readout import has_class_token, readout, registers
from slbench.backbones.receptive_part import ReceptivePart, grid_of
from slbench.backbones.specs import T2TSpec
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.attention import attend
from slbench.methods.lsa import AttentionLogits
from slbench.methods.method import DIRECTIONS
from slbench.methods.receptive_steps import Step, steps_of
from slbench.methods.spt import Shift
from slbench.methods.token_grid import TokenGrid

WINDOW, STRIDE, PADDING = 3, 2, 1  # of every soft split
SOFT_SPLIT = Step("soft split", WINDOW, STRIDE, PADDING)


def soft_split(grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n nine_c"]:
    """Return overlapping 3 x 3 windows at stride 2 as tokens, row by row, channels first; sides halved, rounded up."""
    return F.unfold(grid, WINDOW, stride=STRIDE, padding=PADDING).transpose(1, 2)


class TokenAttention(nn.Module):
    """Single-head self-attention that narrows its tokens; the residual is the value, not the input.

    Args:
        width: channels of the input tokens; the scale starts at width ** -0.5, and temperatures are in
            multiples of sqrt(width) here.
        dim: channels of the head and of the output tokens.
    Source: arXiv:2101.11986; the scale is that of the released code of arXiv:2112.13492.
    """

    def __init__(self, width: int, dim: int, *, method: Method, tokens: TokenGrid) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * dim, bias=False)
        self.logits = AttentionLogits.from_method(method, num_heads=1, head_dim=dim, scale_dim=width, tokens=tokens)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b n width"]) -> Float[Tensor, "b n d"]:
        q, k, v = rearrange(self.qkv(x), "b n (three d) -> three b 1 n d", three=3)
        mixed = attend(self.logits, q, k, v)
        tokens: Tensor = (v + self.project(mixed))[:, 0]
        return tokens


class TokenTransformer(nn.Module):
    """The block after a soft split: narrowing attention, then x + MLP(norm(x)). Source: arXiv:2101.11986."""

    def __init__(self, width: int, dim: int, *, method: Method, tokens: TokenGrid) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = TokenAttention(width, dim, method=method, tokens=tokens)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = MLP(dim, dim)

    def forward(self, x: Float[Tensor, "b n width"]) -> Float[Tensor, "b n d"]:
        x = self.attention(self.attention_norm(x))
        output: Tensor = x + self.mlp(self.mlp_norm(x))
        return output


class ResidualAttention(nn.Module):
    """Add the input of a module to its output: the second residual of the released code."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        summed: Tensor = x + self.inner(x)
        return summed


def sinusoid(count: int, dim: int) -> Float[Tensor, "1 count dim"]:
    """Return fixed positions: sines on even channels, cosines on odd ones. Source: arXiv:1706.03762, section 3.5."""
    positions = torch.arange(count, dtype=torch.float64)[:, None]
    angles = positions / 10000 ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None].float()


class T2T(Backbone):
    """T2T-ViT: images (b c h w) to logits (b k); tokens from soft splits with a transformer in between.

    Args:
        method: shifted copies (by default 1 px) enter the first soft split without a norm; temperature and
            masks apply in soft splits and blocks; other MLPs, registers and readouts only in or after the blocks.
        drop_path: rate of stochastic depth in the last block; it rises linearly from 0 in the first.
    Source: sizes and initial values as in the released code of arXiv:2112.13492, without a norm that it
    creates and never uses; `variant` is in `T2TSpec`.
    """

    positions: Tensor

    def __init__(self, spec: T2TSpec, method: Method, *, shape: ImageShape, drop_path: float = 0.0) -> None:
        super().__init__()
        assert spec.num_splits is not None
        self.image_size = shape.size
        directions = DIRECTIONS[method.shift]
        self.shift = Shift(directions, pixels=method.pixels(1)) if directions else nn.Identity()
        channels = shape.channels * (1 + len(directions))
        grids = [grid_of((SOFT_SPLIT,) * split, shape.size) for split in range(1, spec.num_splits + 1)]
        self.rows = [height for height, _ in grids[:-1]]  # of the grid after each soft split except the last
        self.token_transformers = nn.ModuleList()
        for height, width in grids[:-1]:
            tokens = TokenGrid(height=height, width=width)
            self.token_transformers.append(
                TokenTransformer(WINDOW**2 * channels, spec.token_dim, method=method, tokens=tokens)
            )
            channels = spec.token_dim
        height, width = grids[-1]
        tokens = TokenGrid(height=height, width=width, class_token=has_class_token(method), registers=method.registers)
        self.project = nn.Linear(WINDOW**2 * channels, spec.dim)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.dim)) if tokens.class_token else None
        positions = sinusoid(1 + height * width, spec.dim)  # the first is that of the class token
        self.register_buffer("positions", positions[:, int(not tokens.class_token) :], persistent=False)
        self.registers = registers(method, spec.dim, tokens)
        rates = rising_rates(drop_path, spec.depth)
        self.blocks = nn.Sequential(*[block(spec, method, tokens=tokens, drop_path=rate) for rate in rates])
        self.norm = nn.LayerNorm(spec.dim)
        self.readout = readout(method, spec.dim, tokens)
        self.head = nn.Linear(spec.dim, shape.classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        require_image_size(images, self.image_size)
        grid = self.shift(images)
        for transformer, rows in zip(self.token_transformers, self.rows, strict=True):
            grid = rearrange(transformer(soft_split(grid)), "b (h w) d -> b d h w", h=rows)
        x = self.project(soft_split(grid))
        if self.class_token is not None:
            x = with_class_token(self.class_token, x)
        x = self.blocks(self.registers(x + self.positions))
        logits: Tensor = self.head(self.readout(x, self.norm))
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return layers_of_blocks(self.token_transformers, noun="soft split") + layers_of_blocks(self.blocks)

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        splits = [SOFT_SPLIT] * (len(self.token_transformers) + 1)
        note = "attention between the soft splits reaches beyond it"
        return (ReceptivePart("tokens", (*steps_of(self.shift), *splits), self.project, note),)

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        if parameter is self.class_token or name == "reg_token":
            nn.init.trunc_normal_(parameter, std=0.02, generator=source)
        else:
            init_truncated_normal(module, name, parameter, source=source)


def block(spec: T2TSpec, method: Method, *, tokens: TokenGrid, drop_path: float) -> Block:
    """Return one block after the soft splits, with the second residual of the released variant."""
    attention = Attention(
        spec.dim, num_heads=spec.num_heads, head_dim=spec.dim // spec.num_heads, method=method, tokens=tokens
    )
    return Block(
        spec.dim,
        attention=ResidualAttention(attention) if spec.variant == "released" else attention,
        mlp=make_mlp(method, spec.dim, int(spec.dim * spec.mlp_ratio), tokens),
        drop_path=drop_path,
    )
