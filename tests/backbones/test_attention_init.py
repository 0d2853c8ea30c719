"""Mimetic and impulse initialisation: the products of the drawn weights reach their targets."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from slbench.backbones import build, resolve_network
from slbench.backbones.attention_init import OFFSETS, Factors, noise
from slbench.backbones.layers import Backbone
from slbench.backbones.specs import BackboneSpec, SwinSpec, ViTSpec
from slbench.errors import InputError
from slbench.gpu_check import small
from slbench.image_shape import ImageShape
from slbench.methods import METHODS
from slbench.rng import generator
from tests.support import naming

SIDE, DIM, HEADS = 6, 96, 12  # patches down and across; 8 channels per head
VIT = ViTSpec(patch_size=2, dim=DIM, depth=2, num_heads=HEADS)
SHAPE = ImageShape((12, 12), 3, 5)


def built(method: str, spec: BackboneSpec = VIT, *, seed: int = 0) -> Backbone:
    sizes, resolved = resolve_network(spec, METHODS[method], shape=SHAPE)
    return build(sizes, resolved, shape=SHAPE, drop_path=0.0, seed=seed)


def head_weights(network: Backbone, block: int = 0, heads: int = HEADS) -> tuple[Tensor, Tensor]:
    """Return W_q and W_k of every head (heads d d_k) in float64, cut out of the joint map row by row."""
    weight = network.get_parameter(f"blocks.{block}.attention.qkv.weight").detach().double()
    inner, dim = len(weight) // 3, weight.shape[1]
    width = inner // heads
    cut = [torch.stack([weight[part * inner + head * width :][:width].T for head in range(heads)]) for part in range(2)]
    assert cut[0].shape == (heads, dim, width)
    return cut[0], cut[1]


def mix_weights(network: Backbone, block: int = 0) -> tuple[Tensor, Tensor]:
    """Return W_v (d inner) and W_o (inner d) in float64: of tokens x the attention is softmax(...) x W_v W_o."""
    weight = network.get_parameter(f"blocks.{block}.attention.qkv.weight").detach().double()
    output = network.get_parameter(f"blocks.{block}.attention.project.weight").detach().double()
    return weight[2 * len(weight) // 3 :].T, output.T


def test_factors_are_the_best_approximation_of_their_rank() -> None:
    target = torch.randn(3, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    factors = Factors.of(target, rank=4)
    error = torch.linalg.matrix_norm(target - factors.left @ factors.right)
    singular = torch.linalg.svdvals(target)
    assert torch.allclose(error, singular[:, 4:].norm(dim=1))  # Eckart and Young
    assert torch.allclose(factors.left.norm(dim=1), singular[:, :4].sqrt())
    assert torch.allclose(factors.right.norm(dim=2), singular[:, :4].sqrt())
    assert (factors.left.gather(1, factors.left.abs().argmax(dim=1, keepdim=True)) > 0).all()


def test_mimetic_products_reach_their_targets() -> None:
    """W_v W_o is 0.4 Z - 0.4 I itself; W_q W_k^T of each head is 0.7 Z + 0.7 I, cut to the rank of a head."""
    network = built("mimetic-init")
    for block in range(2):
        source = generator(0, "attention", f"blocks.{block}.attention")
        mixed = 0.4 * noise((DIM, DIM), source) - 0.4 * torch.eye(DIM)
        value, output = mix_weights(network, block)
        assert torch.allclose(value @ output, mixed, atol=1e-6)
        targets = 0.7 * noise((HEADS, DIM, DIM), source) + 0.7 * torch.eye(DIM)
        query, key = head_weights(network, block)
        for head, target in enumerate(targets):
            u, s, vt = torch.linalg.svd(target)
            best = (u[:, : DIM // HEADS] * s[: DIM // HEADS]) @ vt[: DIM // HEADS]
            assert torch.allclose(query[head] @ key[head].T, best, atol=1e-5)


def test_mimetic_noise_has_the_variance_of_one_over_the_width() -> None:
    values = noise((64, 80, 80), torch.Generator().manual_seed(0))
    assert values.std().item() == pytest.approx(80**-0.5, rel=0.01)


@pytest.mark.parametrize("backbone", ["t2t", "pit", "swin"])
def test_mimetic_values_of_other_backbones_are_near_the_negative_identity(backbone: str) -> None:
    """The diagonal of W_v W_o is -0.4 on average, its other entries 0."""
    plain, network = (small(backbone, method) for method in ("none", "mimetic-init"))
    found = 0
    for name, parameter in network.named_parameters():
        changed = not torch.equal(parameter, plain.get_parameter(name))
        is_attention = name.startswith("blocks.") and name.endswith((".qkv.weight", ".attention.project.weight"))
        assert changed == is_attention, name
        if name.endswith(".qkv.weight") and is_attention:
            output = network.get_parameter(name.replace("qkv", "project"))
            product = parameter[2 * len(parameter) // 3 :].T @ output.T
            assert product.diagonal().mean().item() == pytest.approx(-0.4, abs=0.25)
            found += 1
    assert found > 1


def impulse_attention(network: Backbone, block: int, heads: int) -> Tensor:
    """Return softmax(P W_q W_k^T P^T / sqrt(d_k)) of each head (heads n n), P the normed positions of the patches."""
    positions = network.get_parameter("positions").detach()[0, 1:].double()
    positions = F.layer_norm(positions, positions.shape[1:])
    query, key = head_weights(network, block, heads)
    scores = (positions @ query) @ (positions @ key).mT / math.sqrt(query.shape[2])
    return scores.softmax(dim=-1)


def share_on_the_shift(network: Backbone, block: int, heads: int = HEADS) -> list[float]:
    """Return for each head the share of queries that attend most to the patch at the offset of the head."""
    attention = impulse_attention(network, block, heads)
    shares = []
    for head in range(heads):
        down, right = OFFSETS[(block * heads + head) % 9]
        hits, queries = 0, 0
        for row in range(SIDE):
            for column in range(SIDE):
                if 0 <= row + down < SIDE and 0 <= column + right < SIDE:
                    queries += 1
                    attended = int(attention[head, row * SIDE + column].argmax())
                    hits += divmod(attended, SIDE) == (row + down, column + right)
        shares.append(hits / queries)
    return shares


@pytest.mark.parametrize("block", [0, 1])
def test_impulse_attention_peaks_at_the_shifted_patch(block: int) -> None:
    """For most queries at 8 channels and 36 patches; in a plain network for few."""
    shares = share_on_the_shift(built("impulse-init"), block)
    assert min(shares) > 0.5 and sum(shares) / HEADS > 0.8
    plain = share_on_the_shift(built("impulse-norms"), block)
    assert sum(plain) / HEADS < 0.1


def test_impulse_attention_is_the_shift_with_as_many_channels_as_patches() -> None:
    network = built("impulse-init", ViTSpec(patch_size=2, dim=144, depth=2, num_heads=4))
    assert share_on_the_shift(network, 1, 4) == [1.0] * 4


def test_the_nine_offsets_are_the_neighbours_and_the_patch_itself() -> None:
    assert sorted(OFFSETS) == [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def test_impulse_factors_have_a_norm_of_7_and_values_are_mimetic() -> None:
    impulse, mimetic = built("impulse-init"), built("mimetic-init")
    for weights in head_weights(impulse):
        assert torch.allclose(torch.linalg.matrix_norm(weights), torch.full((HEADS,), 7.0, dtype=torch.float64))
    for ours, theirs in zip(mix_weights(impulse), mix_weights(mimetic), strict=True):
        assert torch.equal(ours, theirs)


def test_impulse_norms_is_the_default_with_the_norms_of_impulse() -> None:
    plain, control, impulse = (built(method) for method in ("none", "impulse-norms", "impulse-init"))
    for weights in (head_weights, mix_weights):
        for start, ours, theirs in zip(weights(plain), weights(control), weights(impulse), strict=True):
            norms = torch.linalg.matrix_norm(torch.stack([start, ours, theirs]))
            assert torch.allclose(norms[1], norms[2])
            factor = (norms[1] / norms[0])[..., None, None]
            assert torch.allclose(ours, start * factor, atol=1e-5)


def test_a_grid_of_one_row_is_shifted_along_it_only() -> None:
    spec = ViTSpec(patch_size=4, dim=12, depth=1, num_heads=4)
    shape = ImageShape((4, 20), 3, 5)
    sizes, method = resolve_network(spec, METHODS["impulse-init"], shape=shape)
    network = build(sizes, method, shape=shape, drop_path=0.0, seed=0)
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_impulse_initialisation_needs_as_many_patches_as_channels_of_a_head() -> None:
    coarse = ViTSpec(patch_size=6, dim=DIM, num_heads=2)
    with pytest.raises(InputError, match=naming("initialization", "impulse", "4 and 48", "heads")):
        resolve_network(coarse, METHODS["impulse-init"], shape=SHAPE)


def test_swin_windows_are_mimetic_too() -> None:
    spec = SwinSpec(patch_size=2, window_size=3, dims=(12,), depths=(2,), num_heads=(3,))
    network = built("mimetic-init", spec)
    query, key = head_weights(network, heads=3)
    source = generator(0, "attention", "blocks.0.attention")
    noise((12, 12), source)
    target = 0.7 * noise((3, 12, 12), source) + 0.7 * torch.eye(12)
    error = torch.linalg.matrix_norm(query @ key.mT - target)
    assert torch.allclose(error, torch.linalg.svdvals(target)[:, 4:].norm(dim=1), atol=1e-5)
