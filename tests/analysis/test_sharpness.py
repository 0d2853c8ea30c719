"""Sharpness by hand and on all backbones."""

import math

import pytest
import torch

from slbench.analysis.capture import capture_attention
from slbench.analysis.sharpness import (
    EPSILON,
    MEASURES,
    Sharpness,
    distance,
    divergence,
    divergence_on,
    entropy,
    masked_uniform,
)
from slbench.methods.lsa import mask_diagonal
from tests.analysis.helpers import PAIRS, captures_of, network_of, others, plain
from tests.contracts.small import IMAGES, images

ONE_HOT = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0])


def test_uniform_attention_scores_zero_in_both_definitions() -> None:
    scores = torch.full((2, 3, 5, 5), 7.0)
    assert divergence(scores.softmax(dim=-1)).abs().max() < 1e-6
    assert divergence_on(scores, others(5)).abs().max() < 1e-6


def test_masked_uniform_attention_of_65_tokens_scores_0_41_by_the_paper_and_0_over_the_support() -> None:
    scores = mask_diagonal(torch.zeros(1, 1, 65, 65))
    by_hand = -(64 * math.log(65 / 64) + math.log(1e-12)) / 65
    assert round(by_hand, 2) == 0.41
    assert divergence(scores.softmax(dim=-1)).allclose(torch.tensor(by_hand), atol=1e-5)
    assert masked_uniform(65) == pytest.approx(by_hand)
    assert divergence_on(scores, others(65)).abs().max() < 1e-6


def test_one_hot_attention_scores_the_sum_of_its_zeros() -> None:
    by_hand = -(math.log(5) + 4 * math.log(EPSILON)) / 5
    assert divergence(ONE_HOT).item() == pytest.approx(by_hand, rel=1e-6)
    assert entropy(ONE_HOT).item() == 0
    off = -(math.log(4) + 3 * math.log(EPSILON)) / 4  # of the four others
    scores = (ONE_HOT.log()).clamp_min(-200).repeat(5, 1)[None, None]
    assert divergence_on(scores, others(5))[0, 0, 0].item() == pytest.approx(off, rel=1e-6)


def test_off_diagonal_divergence_is_independent_of_the_self_weight() -> None:
    scores = torch.diag(torch.full((5,), 90.0))[None, None]  # all but e-39 of the weight: nothing else is left in fp32
    assert divergence_on(scores, others(5)).abs().max() < 1e-6
    assert divergence(scores.softmax(dim=-1)).min() > 20


def test_entropy_of_a_uniform_row_is_the_logarithm_of_its_length() -> None:
    assert entropy(torch.full((2, 7), 1 / 7)).tolist() == pytest.approx([math.log(7)] * 2)


def test_distance_is_in_grid_steps_without_the_class_token() -> None:
    scores = torch.full((1, 1, 7, 7), -math.inf)
    scores[..., 0] = 50.0  # everybody reads the class token most
    scores[..., 1:, 6] = 0.0  # and of the patches the last, at (1, 2)
    result = distance(plain((2, 3), class_token=True), scores)
    assert result is not None
    by_hand = [math.hypot(1 - row, 2 - column) for row in range(2) for column in range(3)]
    assert result[0, 0].tolist() == pytest.approx(by_hand)


def test_a_query_without_allowed_keys_is_excluded() -> None:
    allowed = others(3)
    allowed[0, 1] = False
    result = divergence_on(torch.zeros(2, 1, 3, 3), allowed)
    assert result[:, :, 1].isnan().all()
    assert result[:, :, [0, 2]].abs().max() < 1e-6


def test_other_regions_of_a_shifted_window_are_outside_the_support() -> None:
    layers = network_of("swin", "none").attention_layers()
    shifted, straight = layers[1], layers[0]
    allowed, all_others = shifted.allowed(4, 4), straight.allowed(4, 4)
    assert allowed is not None and all_others is not None
    assert all_others.sum().item() == 4 * 3  # of a 2 x 2 window
    assert shifted.tokens.windows == len(allowed) == 24
    # windows of 4 x 6, shifted by 1: those of the last row and column hold tokens from both edges
    assert allowed.flatten(1).sum(dim=1).tolist() == [*[12] * 5, 4, *[12] * 5, 4, *[12] * 5, 4, *[4] * 5, 0]


@pytest.mark.parametrize(("backbone", "method"), PAIRS)
def test_every_measure_is_the_mean_of_all_batches_on_every_backbone(backbone: str, method: str) -> None:
    network = network_of(backbone, method)
    layers, together, apart = network.attention_layers(), Sharpness(), Sharpness()
    with torch.no_grad():
        with capture_attention(layers, together.update):
            network(images(backbone))
        with capture_attention(layers, apart.update):
            for image in images(backbone):
                network(image[None])
    for layer in layers:
        result = together.compute(layer)
        assert list(result) == list(MEASURES)
        assert apart.compute(layer) == pytest.approx(result, rel=1e-4, abs=1e-6, nan_ok=True)
        for name, value in result.items():
            is_empty = layer.kind == "class" and name == "distance"
            assert math.isnan(value) == is_empty, (layer.name, name)
        if layer.logits.mask_self:
            assert result["self_weight"] == 0
            assert result["kl"] > result["kl_support"]
        elif not layer.tokens.shift:
            assert result["self_weight"] > 0


def test_means_are_over_queries_heads_and_images() -> None:
    network = network_of("vit", "none")
    layers, meter = network.attention_layers(), Sharpness()
    with torch.no_grad(), capture_attention(layers, meter.update):
        network(images("vit"))
    for captured in captures_of(network, "vit"):
        layer = next(layer for layer in layers if layer.name == captured.layer.name)
        weights = captured.weights.double()
        assert weights.shape == (IMAGES, 3, 7, 7)
        by_hand = -(7 * weights + 1e-12).log().mean()
        off = []
        for query in range(7):
            rest = torch.cat([weights[:, :, query, :query], weights[:, :, query, query + 1 :]], dim=-1)
            off.append(-(6 * rest / rest.sum(dim=-1, keepdim=True) + 1e-12).log().mean())
        assert meter.compute(layer)["kl"] == pytest.approx(by_hand.item(), rel=1e-5)
        assert meter.compute(layer)["kl_support"] == pytest.approx(torch.stack(off).mean().item(), rel=1e-5)
        assert meter.compute(layer)["self_weight"] == pytest.approx(
            weights.diagonal(dim1=-2, dim2=-1).mean().item(), rel=1e-5
        )
