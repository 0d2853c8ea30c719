"""Parts of the backbones against plain references in float64, written as loops from the papers."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from slbench.backbones import build
from slbench.backbones.cait import ClassBlock
from slbench.backbones.pit import Pool as PiTPool
from slbench.backbones.specs import CaiTSpec, PiTSpec, SwinSpec, T2TSpec
from slbench.backbones.swin import WindowAttention
from slbench.backbones.t2t import T2T, TokenTransformer, sinusoid, soft_split
from slbench.image_shape import ImageShape
from slbench.methods import METHODS
from tests.backbones.helpers import blocks, perturbed, tokens


def normed(x: Tensor, norm: nn.Module) -> Tensor:
    weight, bias = norm.weight, norm.bias
    assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() * weight + bias


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def perceptron(x: Tensor, weights: dict[str, Tensor], prefix: str) -> Tensor:
    hidden = gelu(x @ weights[f"{prefix}0.weight"].T + weights[f"{prefix}0.bias"])
    return hidden @ weights[f"{prefix}2.weight"].T + weights[f"{prefix}2.bias"]


def combined(heads: list[Tensor], weights: Tensor) -> list[Tensor]:
    """Return each new head as a sum of the old ones, weighted by its column."""
    return [torch.stack([head * weights[h, g] for h, head in enumerate(heads)]).sum(0) for g in range(len(heads))]


def talking_heads(
    x: Tensor, read: Tensor, weights: dict[str, Tensor], prefix: str, *, heads: int, diagonal: str
) -> Tensor:
    """Return talking heads by loops over queries and heads; `diagonal` names the masking."""
    q = rearrange(x @ weights[f"{prefix}q.weight"].T, "b n (h d) -> b n h d", h=heads)
    k, v = rearrange(read @ weights[f"{prefix}kv.weight"].T, "b n (two h d) -> two b n h d", two=2, h=heads)
    scale = weights.get(f"{prefix}logits.scale", torch.full((heads,), q.shape[-1] ** -0.5, dtype=torch.float64))
    scores = [torch.einsum("bnd,bmd->bnm", q[:, :, h], k[:, :, h]) * scale[h] for h in range(heads)]
    if diagonal == "tiny, before the mix":
        for head in scores:
            head.diagonal(dim1=1, dim2=2).fill_(-1e-9)
    before, after = weights[f"{prefix}mix_scores.weight"], weights[f"{prefix}mix_weights.weight"]
    mixed = combined(scores, before)
    if diagonal == "-inf, after the mix":
        for head in mixed:
            head.diagonal(dim1=1, dim2=2).fill_(float("-inf"))
    final = combined([head.softmax(-1) for head in mixed], after)
    out = torch.cat([head @ v[:, :, h] for h, head in enumerate(final)], dim=-1)
    return out @ weights[f"{prefix}project.weight"].T + weights[f"{prefix}project.bias"]


@pytest.mark.parametrize(
    ("method", "variant", "diagonal"),
    [
        ("none", "paper", "kept"),
        ("none", "released", "kept"),
        ("both", "paper", "-inf, after the mix"),
        ("both", "released", "tiny, before the mix"),
    ],
)
def test_a_block_of_cait_is_talking_heads_and_an_mlp_each_under_layer_scale(
    method: str, variant: str, diagonal: str
) -> None:
    spec = CaiTSpec(patch_size=4, dim=7, depth=1, class_depth=1, num_heads=3, head_dim=5, variant=variant)  # type: ignore[arg-type]
    network = perturbed(spec, method, (8, 12))
    block, x = blocks(network)[0], tokens(2, 11, 7)
    weights = dict[str, Tensor](block.named_parameters())
    source = normed(x, block.attention_norm)
    y = x + weights["attention.1.factor"] * talking_heads(
        source, source, weights, "attention.0.", heads=3, diagonal=diagonal
    )
    y = y + weights["mlp.1.factor"] * perceptron(normed(y, block.mlp_norm), weights, "mlp.0.")
    torch.testing.assert_close(block(x), y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_class_token_of_cait_reads_itself_and_the_patches_normed_in_the_released_code_the_patches_as_they_are(
    variant: str,
) -> None:
    spec = CaiTSpec(patch_size=4, dim=7, depth=1, class_depth=1, num_heads=3, head_dim=5, variant=variant)  # type: ignore[arg-type]
    network = perturbed(spec, "both", (8, 12))
    block = next(module for module in network.modules() if isinstance(module, ClassBlock))
    weights = dict[str, Tensor](block.named_parameters())
    token, patches = tokens(2, 1, 7), tokens(2, 11, 7)
    both = normed(torch.cat([token, patches], dim=1), block.attention_norm)
    keys = {"paper": both, "released": patches}[variant]
    read = talking_heads(both[:, :1], keys, weights, "attention.", heads=3, diagonal="kept")
    y = token + weights["attention_scale.factor"] * read
    y = y + weights["mlp.1.factor"] * perceptron(normed(y, block.mlp_norm), weights, "mlp.0.")
    torch.testing.assert_close(block(token, patches), y, rtol=1e-12, atol=1e-12)


def test_layer_scale_starts_lower_in_the_last_of_24_blocks() -> None:
    network = build(
        CaiTSpec(patch_size=4, dim=4, num_heads=1, head_dim=2),
        METHODS["none"],
        shape=ImageShape((8, 8), 3, 2),
        drop_path=0.0,
        seed=0,
    )
    starts = [value.mean().item() for name, value in network.named_parameters() if name.endswith("attention.1.factor")]
    assert starts == pytest.approx([0.1] * 18 + [1e-5] * 6)


def window_attention(x: Tensor, module: WindowAttention, *, mask_self: bool) -> Tensor:
    """Return window attention token by token, looking up each relative position.

    A window of the shifted grid holds the tokens whose rolled positions it covers; a token attends to
    those of them that are not separated by an edge of the image.
    """
    tokens, heads = module.tokens, module.num_heads
    (rows, columns), window, shift = tokens.size, tokens.window, tokens.shift
    weights = dict[str, Tensor](module.named_parameters())
    qkv = x @ weights["qkv.weight"].T + weights["qkv.bias"]
    q, k, v = rearrange(qkv, "b n (three h d) -> three b n h d", three=3, h=heads)
    scale = weights.get("logits.scale", torch.full((heads,), q.shape[-1] ** -0.5, dtype=torch.float64))
    out = torch.zeros_like(x)

    def rolled(row: int, column: int) -> tuple[int, int]:
        return (row - shift) % rows, (column - shift) % columns

    def home(row: int, column: int) -> tuple[int, int, bool, bool]:
        down, right = rolled(row, column)
        return down // window, right // window, row < shift, column < shift

    positions = [(row, column) for row in range(rows) for column in range(columns)]
    for query in positions:
        keys = [position for position in positions if home(*position) == home(*query)]
        for h in range(heads):
            scores = []
            for key in keys:
                down, right = (a - b for a, b in zip(rolled(*query), rolled(*key), strict=True))
                entry = (down + window - 1) * (2 * window - 1) + right + window - 1
                i, j = (position[0] * columns + position[1] for position in (query, key))
                score = (q[:, i, h] * k[:, j, h]).sum(-1) * scale[h] + weights["relative_bias"][entry, h]
                scores.append(torch.full_like(score, -math.inf) if mask_self and i == j else score)
            share = torch.stack(scores, dim=-1).softmax(-1)
            values = torch.stack([v[:, position[0] * columns + position[1], h] for position in keys], dim=1)
            width = values.shape[-1]
            out[:, query[0] * columns + query[1], h * width : (h + 1) * width] = torch.einsum(
                "bm,bmd->bd", share, values
            )
    return out @ weights["project.weight"].T + weights["project.bias"]


@pytest.mark.parametrize("method", ["none", "both"])
@pytest.mark.parametrize("block", [0, 1])
@torch.no_grad()
def test_swin_attends_within_windows_and_the_shifted_ones_not_around_the_edges(method: str, block: int) -> None:
    network = perturbed(SwinSpec(patch_size=2, dims=(6,), depths=(2,), num_heads=(3,)), method, (16, 24))
    module = [module for module in network.modules() if isinstance(module, WindowAttention)][block]
    assert (module.tokens.window, module.tokens.shift) == (4, 2 * block)
    x = tokens(2, 96, 6)
    expected = window_attention(x, module, mask_self=METHODS[method].mask_self)
    torch.testing.assert_close(module(x), expected, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_grid_no_larger_than_the_window_is_one_window_that_is_never_shifted() -> None:
    network = perturbed(SwinSpec(patch_size=1, dims=(6, 6), depths=(2, 2), num_heads=(3, 3)), "none", (8, 8))
    modules = [module for module in network.modules() if isinstance(module, WindowAttention)]
    assert [(module.tokens.window, module.tokens.shift) for module in modules] == [(4, 0), (4, 2), (4, 0), (4, 0)]


def pit_pool(method: str) -> PiTPool:
    network = perturbed(PiTSpec(patch_size=2, dims=(3, 6), depths=(1, 1), num_heads=(1, 2)), method, (8, 12))
    return next(module for module in network.modules() if isinstance(module, PiTPool))


@torch.no_grad()
def test_pit_pools_each_channel_by_itself_and_then_mixes_them() -> None:
    pool, x = pit_pool("none"), tokens(2, 25, 3)
    weights = dict[str, Tensor](pool.named_parameters())
    out = pool(x)
    torch.testing.assert_close(out[:, 0], x[:, 0] @ weights["class_token.weight"].T + weights["class_token.bias"])
    grid = x[:, 1:].reshape(2, 4, 6, 3)
    for row in range(2):
        for column in range(3):
            wide = weights["grid.each.bias"].expand(2, 6).clone()
            for channel in range(6):
                for i in range(3):
                    for j in range(3):
                        down, right = 2 * row + i - 1, 2 * column + j - 1
                        if 0 <= down < 4 and 0 <= right < 6:
                            tap = weights["grid.each.weight"][channel, 0, i, j]
                            wide[:, channel] += tap * grid[:, down, right, channel // 2]
            token = wide @ weights["grid.mix.weight"][:, :, 0, 0].T + weights["grid.mix.bias"]
            torch.testing.assert_close(out[:, 1 + row * 3 + column], token, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_s_pool_norms_and_maps_two_by_two_patches_of_the_grid_and_its_copies_one_token_away() -> None:
    pool, x = pit_pool("spt"), tokens(2, 25, 3)
    weights = dict[str, Tensor](pool.named_parameters())
    out = pool(x)
    torch.testing.assert_close(out[:, 0], x[:, 0] @ weights["class_token.weight"].T + weights["class_token.bias"])
    grid = x[:, 1:].reshape(2, 4, 6, 3)
    copies = [(0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]

    def shifted(row: int, column: int, copy: tuple[int, int]) -> Tensor:
        row, column = row - copy[0], column - copy[1]
        inside = 0 <= row < 4 and 0 <= column < 6
        return grid[:, row, column] if inside else torch.zeros(2, 3, dtype=torch.float64)

    for row in range(2):
        for column in range(3):
            pixels = [(2 * row + i, 2 * column + j) for i in (0, 1) for j in (0, 1)]
            features = torch.cat([shifted(*pixel, copy) for pixel in pixels for copy in copies], dim=1)
            centred = features - features.mean(1, keepdim=True)
            spread = (features.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
            token = centred / spread * weights["grid.norm.weight"] + weights["grid.norm.bias"]
            token = token @ weights["grid.project.weight"].T + weights["grid.project.bias"]
            torch.testing.assert_close(out[:, 1 + row * 3 + column], token, rtol=1e-12, atol=1e-12)


def test_a_soft_split_is_overlapping_windows_of_nine_read_row_by_row() -> None:
    grid = tokens(2, 3, 5, 7)
    out = soft_split(grid)
    assert out.shape == (2, 3 * 4, 27)
    for row in range(3):
        for column in range(4):
            for i in range(3):
                for j in range(3):
                    down, right = 2 * row + i - 1, 2 * column + j - 1
                    inside = 0 <= down < 5 and 0 <= right < 7
                    expected = grid[:, :, down, right] if inside else torch.zeros(2, 3, dtype=torch.float64)
                    assert torch.equal(out[:, row * 4 + column, 3 * i + j :: 9], expected)


@pytest.mark.parametrize("method", ["none", "both"])
@torch.no_grad()
def test_a_token_transformer_skips_with_the_value_and_scales_by_its_input_width(method: str) -> None:
    network = perturbed(T2TSpec(num_splits=2, token_dim=5, dim=6, depth=1, num_heads=3), method, (9, 10))
    module = next(module for module in network.modules() if isinstance(module, TokenTransformer))
    weights = dict[str, Tensor](module.named_parameters())
    width = 45 if method == "none" else 225  # 3 x 3 of 5 channels, or of those and their four copies
    x = tokens(2, 7, width)
    source = normed(x, module.attention_norm)
    q, k, v = (source @ weights["attention.qkv.weight"].T).chunk(3, dim=-1)
    scores = torch.einsum("bnd,bmd->bnm", q, k)
    scores = scores * weights.get("attention.logits.scale", torch.tensor(width**-0.5, dtype=torch.float64))
    if method == "both":
        scores.diagonal(dim1=1, dim2=2).fill_(-math.inf)
    read = scores.softmax(-1) @ v
    y = v + read @ weights["attention.project.weight"].T + weights["attention.project.bias"]
    y = y + perceptron(normed(y, module.mlp_norm), weights, "mlp.")
    torch.testing.assert_close(module(x), y, rtol=1e-12, atol=1e-12)


def test_the_first_scale_of_t2t_starts_at_its_input_width_and_a_temperature_is_a_multiple_of_that() -> None:
    scales = {}
    for method in ("lsa", "both"):
        network = build(T2TSpec(), METHODS[method], shape=ImageShape((64, 64), 3, 2), drop_path=0.0, seed=0)
        assert isinstance(network, T2T)
        names = dict(network.named_parameters())
        scales[method] = [names[f"token_transformers.{i}.attention.logits.scale"].item() for i in (0, 1)]
    assert scales["lsa"] == pytest.approx([27**-0.5, 576**-0.5])
    assert scales["both"] == pytest.approx([135**-0.5, 576**-0.5])


def test_the_released_t2t_adds_the_normed_input_to_the_output_of_attention() -> None:
    small = T2TSpec(num_splits=1, dim=6, depth=1, num_heads=3)
    paper = blocks(perturbed(small, "none", (4, 4)))[0]
    released = blocks(perturbed(dataclasses.replace(small, variant="released"), "none", (4, 4)))[0]
    x = tokens(2, 5, 6)
    paper.load_state_dict({name.replace("inner.", ""): value for name, value in released.state_dict().items()})
    source = normed(x, paper.attention_norm)
    once, twice = x + paper.attention(source), x + source + paper.attention(source)
    torch.testing.assert_close(paper(x), once + paper.mlp(normed(once, paper.mlp_norm)))
    torch.testing.assert_close(released(x), twice + paper.mlp(normed(twice, paper.mlp_norm)))


def test_positions_of_t2t_are_sines_and_cosines_in_turn() -> None:
    table = sinusoid(5, 6)[0]
    for position in range(5):
        for channel in range(6):
            angle = position / 10000 ** (2 * (channel // 2) / 6)
            expected = math.sin(angle) if channel % 2 == 0 else math.cos(angle)
            assert table[position, channel].item() == pytest.approx(expected, abs=1e-6)


def test_the_shortcut_of_a_resnet_takes_every_second_pixel_and_adds_channels_of_zeros() -> None:
    from slbench.backbones.convnets import BasicBlock

    block = BasicBlock(3, 6, stride=2, drop_path=0.0).eval()
    with torch.no_grad():
        block.second[1].weight.zero_()  # type: ignore[operator]
    x = torch.rand(2, 3, 5, 7)
    expected = torch.zeros(2, 6, 3, 4)
    expected[:, 1:4] = x[:, :, ::2, ::2]
    assert torch.equal(block(x), F.relu(expected))
