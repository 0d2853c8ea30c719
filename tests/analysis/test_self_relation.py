"""Self-relation: values one can check by hand, then all backbones."""

import math
from dataclasses import replace

import pytest
import torch

from slbench.analysis.capture import AttentionCapture, capture_attention
from slbench.analysis.self_relation import MEASURES, SelfRelation, self_statistics
from slbench.methods.lsa import AttentionLogits
from tests.analysis.helpers import ATTENDING, captures_of, network_of, others, plain
from tests.contracts.small import images


def test_excess_and_variance_are_over_the_other_keys() -> None:
    products = torch.tensor([[5.0, 1.0, 3.0], [2.0, 2.0, 6.0], [0.0, 0.0, 1.0]])[None, None]
    result = self_statistics(products, others(3))
    assert result["excess"][0, 0].tolist() == [3, -2, 1]
    assert result["variance"][0, 0].tolist() == [1, 4, 0]
    assert result["self_largest"][0, 0].tolist() == [1, 0, 1]


def test_orthonormal_queries_equal_to_keys_have_their_scaled_square_as_excess() -> None:
    layer, meter = plain((1, 3)), SelfRelation()
    q = 2 * torch.eye(3, 7)[None, None]
    layer.logits.mask_self = True
    meter.update(AttentionCapture(layer, q, q, layer.logits(q, q)))
    result = meter.compute(layer)
    assert result["excess"] == pytest.approx(4 / math.sqrt(7))  # although its own scores are masked
    assert math.isnan(result["excess_share"])  # all others are alike: there is no spread
    assert (result["self_largest"], result["query_norm"], result["key_norm"]) == (1, 2, 2)


def test_a_learned_scale_replaces_the_root() -> None:
    layer, meter = plain((1, 3)), SelfRelation()
    logits = AttentionLogits(1, 7, learn_temperature=True, tokens=layer.tokens)
    assert logits.scale is not None
    torch.nn.init.constant_(logits.scale, 0.5)
    layer = replace(layer, logits=logits)
    q = 2 * torch.eye(3, 7)[None, None]
    with torch.no_grad():
        meter.update(AttentionCapture(layer, q, q, logits(q, q)))
    assert meter.compute(layer)["excess"] == pytest.approx(2)


def test_a_query_without_other_keys_is_excluded() -> None:
    allowed = others(3)
    allowed[0, 2] = False
    result = self_statistics(torch.randn(2, 1, 3, 3), allowed)
    for values in result.values():
        assert values[:, :, 2].isnan().all()
        assert values[:, :, :2].isfinite().all()


@pytest.mark.parametrize("method", ["none", "both"])
@pytest.mark.parametrize("backbone", ATTENDING)
def test_every_layer_among_the_same_tokens_is_measured_on_every_backbone(backbone: str, method: str) -> None:
    network = network_of(backbone, method)
    layers, meter = network.attention_layers(), SelfRelation()
    with torch.no_grad(), capture_attention(layers, meter.update):
        network(images(backbone))
    for layer in layers:
        result = meter.compute(layer)
        assert list(result) == list(MEASURES)
        assert all(math.isnan(value) == (layer.kind == "class") for value in result.values()), layer.name


def test_means_are_those_of_products_query_by_query() -> None:
    network = network_of("pit", "both")
    layers, meter = network.attention_layers(), SelfRelation()
    with torch.no_grad(), capture_attention(layers, meter.update):
        network(images("pit"))
    for layer, captured in zip(layers, captures_of(network, "pit"), strict=True):
        products = captured.products.double()
        count = products.shape[-1]
        excess, variance = [], []
        for query in range(count):
            rest = products[:, :, query, [key for key in range(count) if key != query]]
            excess.append(products[:, :, query, query] - rest.mean(dim=-1))
            variance.append(rest.var(dim=-1, correction=0))
        mean, deviation = torch.stack(excess).mean().item(), torch.stack(variance).mean().sqrt().item()
        assert meter.compute(layer)["excess"] == pytest.approx(mean, rel=1e-4, abs=1e-6)
        assert meter.compute(layer)["excess_share"] == pytest.approx(mean / deviation, rel=1e-4, abs=1e-6)
        assert meter.compute(layer)["query_norm"] == pytest.approx(captured.q.norm(dim=-1).mean().item(), rel=1e-5)
