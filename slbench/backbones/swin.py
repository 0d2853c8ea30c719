"""Swin: arXiv:2103.14030 in the sizes of arXiv:2112.13492."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from slbench.backbones.attention_layer import AttentionLayer, layers_of_stages
from slbench.backbones.depthwise_mlp import make_mlp
from slbench.backbones.layers import (
    Backbone,
    Block,
    SelfAttention,
    init_truncated_normal,
    require_image_size,
    rising_rates,
)
from slbench.backbones.readout import readout
from slbench.backbones.receptive_part import ReceptivePart, parts_of_stages
from slbench.backbones.specs import SwinSpec
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.attention import attend
from slbench.methods.lsa import AttentionLogits
from slbench.methods.spt import Patches, pooling, tokenizer
from slbench.methods.token_grid import TokenGrid

OTHER_REGION = -100.0  # added to scores between regions that only the roll made neighbours; not -inf, since a region
# can be a single token, which with a masked diagonal would have no key


def relative_index(window: int) -> Int[Tensor, "n n"]:
    """Return the index into the relative bias of each query and key of a window."""
    positions = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    down, right = positions[:, :, None] - positions[:, None, :] + window - 1
    entries: Tensor = down * (2 * window - 1) + right
    return entries


def shift_mask(tokens: TokenGrid) -> Float[Tensor, "windows n n"]:
    """Return the bias of scores per window after a roll by -shift: 0 within a region, else OTHER_REGION."""

    def regions(side: int) -> Tensor:
        positions = torch.arange(side)
        return (positions >= side - tokens.window).long() + (positions >= side - tokens.shift).long()

    region = 3 * regions(tokens.height)[:, None] + regions(tokens.width)[None, :]
    region = rearrange(region, "(h p) (w q) -> (h w) (p q)", p=tokens.window, q=tokens.window)
    return (region[:, :, None] != region[:, None, :]) * OTHER_REGION


class WindowAttention(SelfAttention):
    """Multi-head self-attention within windows, with a learned bias per relative position.

    Args:
        tokens: the grid, and the windows in it, which must tile it.
    Source: arXiv:2103.14030, section 3.2. With LSA the learned scale multiplies the queries and
    not the bias; the diagonal is masked after the bias and the shift mask.
    """

    relative_index: Tensor
    shift_mask: Tensor | None

    def __init__(self, dim: int, *, num_heads: int, tokens: TokenGrid, method: Method) -> None:
        super().__init__()
        self.num_heads, self.tokens = num_heads, tokens
        self.qkv = nn.Linear(dim, 3 * dim)
        self.logits = AttentionLogits.from_method(method, num_heads=num_heads, head_dim=dim // num_heads, tokens=tokens)
        self.relative_bias = nn.Parameter(torch.zeros((2 * tokens.window - 1) ** 2, num_heads))
        self.project = nn.Linear(dim, dim)
        self.register_buffer("relative_index", relative_index(tokens.window), persistent=False)
        mask = shift_mask(tokens) if tokens.shift else None
        self.register_buffer("shift_mask", mask, persistent=False)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        windows = self.tokens.to_windows(x)
        q, k, v = rearrange(self.qkv(windows), "b n (three h d) -> three b h n d", three=3, h=self.num_heads)
        mixed = attend(self.logits, q, k, v, adjust=self.add_bias)
        windows = self.project(rearrange(mixed, "b h n d -> b n (h d)"))
        return self.tokens.from_windows(windows)

    def add_bias(self, scores: Float[Tensor, "windows heads n n"]) -> Float[Tensor, "windows heads n n"]:
        """Add the relative bias and, in shifted windows, the mask between regions."""
        scores = scores + rearrange(self.relative_bias[self.relative_index], "n m heads -> heads n m")
        if self.shift_mask is None:
            return scores
        count = len(self.shift_mask)
        by_image = rearrange(scores, "(b windows) heads n m -> b windows heads n m", windows=count)
        return rearrange(by_image + self.shift_mask[:, None], "b windows heads n m -> (b windows) heads n m")


class PatchMerging(nn.Module):
    """Concatenate 2 x 2 neighbours, normalise and project: (b c h w) to tokens (b n d), n = h w / 4."""

    def __init__(self, dim: int, next_dim: int) -> None:
        super().__init__()
        self.flatten = Patches(2)
        self.norm = nn.LayerNorm(4 * dim)
        self.project = nn.Linear(4 * dim, next_dim, bias=False)

    def forward(self, grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        tokens: Tensor = self.project(self.norm(self.flatten(grid)))
        return tokens


class Pool(nn.Module):
    """Pooling between two stages: halve and widen the grid of tokens.

    Args:
        rows: rows of the input grid.
    """

    def __init__(self, dim: int, next_dim: int, *, rows: int, method: Method) -> None:
        super().__init__()
        self.rows = rows
        self.grid = pooling(method, dim, next_dim, default=PatchMerging(dim, next_dim))

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b m next_d"]:
        pooled: Tensor = self.grid(rearrange(x, "b (h w) d -> b d h w", h=self.rows))
        return pooled


class Swin(Backbone):
    """Swin: images (b c h w) to logits (b k); attention within windows, classified by the mean of the tokens.

    Args:
        method: changes the tokenizer, the pooling (with S_pool), the attention of every window, every MLP, and
            the mean over the tokens.
        drop_path: rate of stochastic depth in the last block; it rises linearly from 0 in the first.
    Source: sizes and initial values as in the released code of arXiv:2112.13492; `absolute_positions`
    is in `SwinSpec`. Methods with a layer norm in the embedding, as SPT, have none after it.
    """

    def __init__(self, spec: SwinSpec, method: Method, *, shape: ImageShape, drop_path: float = 0.0) -> None:
        super().__init__()
        assert spec.patch_size is not None
        rows, columns = spec.grid(shape.size, 0)
        self.image_size = shape.size
        self.tokenizer = tokenizer(method, shape.channels, spec.dims[0], patch_size=spec.patch_size)
        self.embedding_norm = nn.Identity() if method.layer_norm else nn.LayerNorm(spec.dims[0])
        absolute = torch.zeros(1, rows * columns, spec.dims[0])
        self.positions = nn.Parameter(absolute) if spec.absolute_positions else None
        rates = iter(rising_rates(drop_path, sum(spec.depths)))
        stages: list[nn.Module] = []
        for stage, dim in enumerate(spec.dims):
            if stage > 0:
                rows, _ = spec.grid(shape.size, stage - 1)
                stages.append(Pool(spec.dims[stage - 1], dim, rows=rows, method=method))
            grid = spec.grid(shape.size, stage)
            stages += [
                block(spec, method, stage=stage, grid=grid, shifted=i % 2 == 1, drop_path=next(rates))
                for i in range(spec.depths[stage])
            ]
        self.blocks = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(spec.dims[-1])
        self.readout = readout(method, spec.dims[-1], TokenGrid(height=grid[0], width=grid[1]))
        self.head = nn.Linear(spec.dims[-1], shape.classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        require_image_size(images, self.image_size)
        x = self.embedding_norm(self.tokenizer(images))
        if self.positions is not None:
            x = x + self.positions
        logits: Tensor = self.head(self.readout(self.blocks(x), self.norm))
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return layers_of_stages(self.blocks, pool=Pool)

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        return parts_of_stages(self.tokenizer, (block.grid for block in self.blocks if isinstance(block, Pool)))

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        if parameter is self.positions or name == "relative_bias":
            nn.init.trunc_normal_(parameter, std=0.02, generator=source)
        else:
            init_truncated_normal(module, name, parameter, source=source)


def block(
    spec: SwinSpec, method: Method, *, stage: int, grid: tuple[int, int], shifted: bool, drop_path: float
) -> Block:
    """Return one block of a stage. A window not smaller than the grid is cut to the grid and never shifted."""
    assert spec.window_size is not None
    window = min(spec.window_size, *grid)
    shift = window // 2 if shifted and min(grid) > spec.window_size else 0
    dim = spec.dims[stage]
    tokens = TokenGrid(height=grid[0], width=grid[1], window=window, shift=shift)
    attention = WindowAttention(dim, num_heads=spec.num_heads[stage], tokens=tokens, method=method)
    mlp = make_mlp(method, dim, int(dim * spec.mlp_ratio), tokens)
    return Block(dim, attention=attention, mlp=mlp, drop_path=drop_path)
