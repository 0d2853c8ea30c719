"""LSA: hand-computed values, then a plain reference in float64."""

import math

import pytest
import torch
from torch import Tensor

from slbench.methods import METHODS, Method
from slbench.methods.lsa import AttentionLogits
from tests.support import naming


def test_two_tokens_with_the_diagonal_masked_swap_their_values() -> None:
    q, k = torch.randn(1, 1, 2, 3), torch.randn(1, 1, 2, 3)
    v = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    weights = AttentionLogits(1, 3, mask_self=True)(q, k).softmax(dim=-1)
    assert (weights @ v)[0, 0].tolist() == [[4, 5, 6], [1, 2, 3]]


def test_plain_scores_are_divided_by_the_square_root_of_the_head_dim() -> None:
    q = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])[None, None]
    assert AttentionLogits(1, 4)(q, q)[0, 0].tolist() == [[0.5, 0], [0, 2]]


def test_the_scale_starts_at_one_over_the_temperature() -> None:
    logits = AttentionLogits(3, 16, learn_temperature=True, initial_temperature=0.5)
    assert logits.scale is not None
    assert logits.scale.tolist() == [0.5, 0.5, 0.5]  # 1 / (0.5 * sqrt(16))


@pytest.mark.parametrize(("per", "entries"), [("head", 3), ("layer", 1)])
def test_lsa_adds_one_parameter_per_head_or_layer(per: str, entries: int) -> None:
    logits = AttentionLogits(3, 7, learn_temperature=True, temperature_per=per)
    assert sum(parameter.numel() for parameter in logits.parameters()) == entries


def test_a_fixed_temperature_has_no_parameter_and_divides() -> None:
    logits = AttentionLogits.from_method(Method(initial_temperature=2.0), num_heads=3, head_dim=7)
    q, k = torch.randn(2, 3, 5, 7), torch.randn(2, 3, 5, 7)
    assert not list(logits.parameters())
    assert torch.allclose(logits(q, k), AttentionLogits(3, 7)(q, k) / 2)


def reference(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, *, masked: bool) -> Tensor:
    """Return softmax(R / tau) v by einsum, with the mask as a sum over other tokens."""
    products = torch.einsum("bhnd,bhmd->bhnm", q, k) / temperature[None, :, None, None]
    weights = products.exp()
    if masked:
        weights = weights * (1 - torch.eye(q.shape[2], dtype=q.dtype))
    return torch.einsum("bhnm,bhmd->bhnd", weights / weights.sum(dim=-1, keepdim=True), v)


@pytest.mark.parametrize("name", ["none", "temperature-only", "mask-only", "lsa"])
def test_values_and_gradients_equal_a_reference(name: str) -> None:
    torch.manual_seed(0)
    logits = AttentionLogits.from_method(METHODS[name], num_heads=3, head_dim=7).double()
    temperature = torch.full((3,), math.sqrt(7), dtype=torch.float64)
    if logits.scale is not None:
        torch.nn.init.uniform_(logits.scale, 0.1, 1.0)
        temperature = 1 / logits.scale.detach()
    q, k, v = (torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True) for _ in range(3))
    ours = logits(q, k).softmax(dim=-1) @ v
    theirs = reference(q, k, v, temperature.requires_grad_(), masked=METHODS[name].mask_self)
    assert torch.allclose(ours, theirs, atol=1e-12)
    cotangent = torch.randn_like(ours)
    inputs = [q, k, v] if logits.scale is None else [q, k, v, logits.scale]
    our_gradients = torch.autograd.grad(ours, inputs, cotangent)
    their_gradients = list(torch.autograd.grad(theirs, [q, k, v, temperature], cotangent))
    their_gradients[3] = -their_gradients[3] * temperature.detach() ** 2  # d tau / d scale = -tau^2
    for ours_, theirs_ in zip(our_gradients, their_gradients, strict=False):
        assert torch.allclose(ours_, theirs_, atol=1e-11)


def test_adjust_is_applied_after_the_scale_and_before_the_mask() -> None:
    q = torch.zeros(1, 1, 3, 4)
    logits = AttentionLogits(1, 4, mask_self=True, learn_temperature=True, initial_temperature=0.25)
    scores = logits(q, q, adjust=lambda scores: scores + 1)[0, 0]
    inf = -math.inf
    assert scores.tolist() == [[inf, 1, 1], [1, inf, 1], [1, 1, inf]]


def test_gradients_pass_through_adjust_except_on_the_diagonal() -> None:
    q = torch.randn(1, 1, 3, 4)
    bias = torch.zeros(3, 3, requires_grad=True)
    weights = AttentionLogits(1, 4, mask_self=True)(q, q, adjust=lambda scores: scores + bias).softmax(dim=-1)
    (weights * torch.randn(3, 3)).sum().backward()
    assert bias.grad is not None
    assert bias.grad.diagonal().tolist() == [0, 0, 0]
    assert (bias.grad + torch.eye(3) != 0).all()


@pytest.mark.parametrize(("queries", "keys"), [(1, 5), (5, 1), (1, 1), (2, 3)])
def test_the_mask_refuses_different_numbers_of_queries_and_keys_or_one_token(queries: int, keys: int) -> None:
    q, k = torch.randn(2, 3, queries, 7), torch.randn(2, 3, keys, 7)
    with pytest.raises(ValueError, match=naming(queries, keys)):
        AttentionLogits(3, 7, mask_self=True)(q, k)
    assert AttentionLogits(3, 7)(q, k).shape == (2, 3, queries, keys)


def test_the_mask_is_exact_in_bfloat16() -> None:
    q = torch.randn(2, 3, 5, 7, dtype=torch.bfloat16, requires_grad=True)
    weights = AttentionLogits(3, 7, mask_self=True)(q, q).softmax(dim=-1)
    weights.sum().backward()
    assert q.grad is not None
    assert torch.isfinite(q.grad).all()
    assert weights.diagonal(dim1=-2, dim2=-1).eq(0).all()
