"""The mask of Gaussians: against loops in float64, with class token and registers, and in windows."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from slbench.backbones import count_parameters, default_spec, resolve_network
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from slbench.methods.gmm import GaussianMixtureMask
from slbench.methods.lsa import AttentionLogits
from slbench.methods.token_grid import TokenGrid
from tests.support import naming

GRIDS = [
    TokenGrid(height=2, width=3),
    TokenGrid(height=3, width=2, class_token=True),
    TokenGrid(height=2, width=3, class_token=True, registers=2),
    TokenGrid(height=4, width=6, window=2, shift=1),
]


def drawn(mask: GaussianMixtureMask) -> GaussianMixtureMask:
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        mask.alpha.copy_(torch.randn(mask.alpha.shape, generator=source))
        mask.inverse_sigma.copy_(0.3 + torch.rand(mask.alpha.shape, generator=source))
    return mask.double()


def reference(mask: GaussianMixtureMask, tokens: TokenGrid, head: int, query: int, key: int) -> float:
    """Return the factor of one score by the formula."""
    prefix = tokens.class_token + tokens.registers
    if query < prefix or key < prefix:
        return 1.0
    width = tokens.window or tokens.width
    (row, column), (other_row, other_column) = divmod(query - prefix, width), divmod(key - prefix, width)
    squared = (row - other_row) ** 2 + (column - other_column) ** 2
    parts = zip(mask.alpha[head].tolist(), mask.inverse_sigma[head].tolist(), strict=True)
    return float(sum(alpha * math.exp(-squared / (2 * (1 / inverse) ** 2)) for alpha, inverse in parts))


@pytest.mark.parametrize("tokens", GRIDS)
def test_scores_are_multiplied_by_the_mixture_of_distances(tokens: TokenGrid) -> None:
    mask = drawn(GaussianMixtureMask(3, 5, tokens=tokens))
    count = tokens.prefix + math.prod(tokens.sides)
    scores = torch.randn(2, 3, count, count, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    masked = mask(scores)
    for head, query, key in itertools.product(range(3), range(count), range(count)):
        expected = scores[:, head, query, key] * reference(mask, tokens, head, query, key)
        assert torch.allclose(masked[:, head, query, key], expected, atol=1e-12), (head, query, key)


def test_the_mask_starts_at_one_on_the_diagonal_and_falls_with_the_distance() -> None:
    mask = GaussianMixtureMask(2, 5, tokens=TokenGrid(height=1, width=7)).mask()
    assert torch.allclose(mask.diagonal(dim1=1, dim2=2), torch.ones(2, 7))
    assert (mask[:, 0].diff(dim=-1) < 0).all()
    assert mask.shape == (2, 7, 7)


def masked_scores(method: Method, tokens: TokenGrid, q: Tensor, k: Tensor) -> Tensor:
    logits = AttentionLogits.from_method(method, num_heads=3, head_dim=7, tokens=tokens)
    scores: Tensor = logits(q, k)
    return scores


def test_with_lsa_the_diagonal_is_masked_after_the_gaussians() -> None:
    tokens = TokenGrid(height=1, width=5)
    q, k = torch.randn(2, 2, 3, 5, 7)
    plain, lsa = (masked_scores(METHODS[name], tokens, q, k) for name in ("none", "lsa"))
    both = masked_scores(Method(gaussians=5, learn_temperature=True, mask_self=True), tokens, q, k)
    mask = GaussianMixtureMask(3, 5, tokens=tokens).mask()
    assert torch.equal(torch.isinf(both), torch.isinf(lsa))
    others = ~torch.isinf(lsa)
    assert torch.allclose(both[others], (plain * mask)[others])


def test_class_attention_has_no_mask_of_gaussians() -> None:
    tokens = TokenGrid(height=2, width=2, class_token=True, class_query_only=True)
    logits = AttentionLogits.from_method(METHODS["gmm"], num_heads=3, head_dim=7, tokens=tokens)
    assert not list(logits.parameters())


def test_a_mask_of_gaussians_without_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=naming("5 Gaussians", "grid")):
        AttentionLogits.from_method(METHODS["gmm"], num_heads=3, head_dim=7)


@pytest.mark.parametrize(("method", "reference"), [("gmm", "none"), ("gmm-mean-pool", "mean-pool")])
def test_the_mask_of_the_papers_vit_has_1080_parameters(method: str, reference: str) -> None:
    shape = ImageShape((32, 32), 3, 100)
    sizes = [resolve_network(default_spec("vit"), METHODS[name], shape=shape) for name in (method, reference)]
    with_mask, without = (count_parameters(*each, shape=shape) for each in sizes)
    assert with_mask - without == 1_080
