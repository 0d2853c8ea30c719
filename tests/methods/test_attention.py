"""Kernels of attention: each equals the plain definition; the rules that choose one are complete and committed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from slbench import kernel_choice
from slbench.kernel_choice import ATTENTION_RULES, AttentionRule, Kernel, attention_kernel
from slbench.methods import METHODS
from slbench.methods import attention as attention_module
from slbench.methods.attention import attend, form_of, fused, plain
from slbench.methods.lsa import AttentionLogits
from slbench.methods.token_grid import TokenGrid
from slbench.numerics_versions import NUMERICS
from tests.contracts.small import PAIRS, images, small

KERNELS: dict[Kernel, Callable[..., Tensor]] = {"plain": plain, "fused": fused}


def with_gradients(kernel: Callable[..., Tensor], scores: AttentionLogits, *qkv: Tensor) -> list[Tensor]:
    """Return the output of a kernel and the gradients of queries, keys, values and a learned scale."""
    leaves = [each.clone().requires_grad_() for each in qkv]
    output = kernel(scores, *leaves)
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
    return [output, *torch.autograd.grad((output * weights).sum(), [*leaves, *scores.parameters()])]


@pytest.mark.parametrize("kernel", sorted(set(get_args(Kernel)) - {"plain"}))
@pytest.mark.parametrize("name", ["none", "temperature-only", "mask-only", "lsa"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 5e-2)]
)
def test_every_kernel_equals_the_plain_definition(
    kernel: Kernel, name: str, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    scores = AttentionLogits.from_method(METHODS[name], num_heads=3, head_dim=7)
    if scores.scale is not None:
        torch.nn.init.uniform_(scores.scale, -1.0, 1.0)
    scores = scores.to(dtype)
    q, k = (torch.randn(2, 3, 5, 7, dtype=dtype) for _ in range(2))
    v = torch.randn(2, 3, 5, 11, dtype=dtype)
    found, defined = (with_gradients(function, scores, q, k, v) for function in (KERNELS[kernel], plain))
    for got, expected in zip(found, defined, strict=True):
        assert torch.allclose(got, expected, atol=tolerance, rtol=tolerance)


def test_plain_attention_is_the_softmax_of_the_scores_times_the_values_to_the_bit() -> None:
    torch.manual_seed(0)
    scores = AttentionLogits(3, 7, learn_temperature=True, mask_self=True)
    q, k, v = torch.randn(3, 2, 3, 5, 7)
    assert torch.equal(attend(scores, q, k, v), scores(q, k).softmax(dim=-1) @ v)
    mixed = attend(scores, q, k, v, adjust=lambda found: found + 1, mix=lambda weights: 2 * weights)
    assert torch.equal(mixed, 2 * scores(q, k, adjust=lambda found: found + 1).softmax(dim=-1) @ v)


def test_only_products_with_a_scale_and_a_masked_diagonal_have_other_kernels() -> None:
    class Own(AttentionLogits):
        pass

    assert form_of(AttentionLogits(3, 7)) == "bare"
    assert form_of(AttentionLogits(3, 7, learn_temperature=True, mask_self=True)) == "masked"
    assert form_of(AttentionLogits(3, 7, mask_self=True, blend_mask=True)) == "general"
    assert form_of(Own(3, 7)) == "general"
    assert form_of(AttentionLogits(3, 7, gaussians=2, tokens=TokenGrid(height=2, width=3))) == "general"


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the kernels that are called from now on."""
    names: list[str] = []

    def counting(name: str, kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*arguments: Any, **how: Any) -> Tensor:
            names.append(name)
            return kernel(*arguments, **how)

        return call

    for name, kernel in KERNELS.items():
        monkeypatch.setattr(attention_module, name, counting(name, kernel))
    return names


@pytest.mark.parametrize("backbone", [name for name, method in PAIRS if method == "lsa"])
def test_every_attention_layer_is_computed_by_the_chosen_kernel(
    backbone: str, called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, batch = small(backbone, "lsa").eval(), images(backbone)
    layers = len(network.attention_layers())
    output = network(batch)
    assert called == ["plain"] * layers  # as the rules are
    called.clear()
    rule = AttentionRule(device_kind="cpu", precision="fp32", kernel="fused", source="of this test")
    monkeypatch.setattr(kernel_choice, "ATTENTION_RULES", (rule,))
    again = network(batch)
    general = backbone.startswith(("swin", "cait"))  # biases and mixed heads
    assert called == ["plain" if general else "fused"] * layers
    assert torch.allclose(again, output, atol=1e-5)
    called.clear()
    hook = network.attention_layers()[0].logits.register_forward_hook(lambda *_: None)
    network(batch)
    hook.remove()
    assert called[0] == "plain"  # an analysis reads the scores


def test_the_first_rule_that_fits_decides_and_nothing_unmeasured_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    short = AttentionRule(device_kind="cpu", precision="fp32", max_keys=65, kernel="fused", source="of this test")
    monkeypatch.setattr(kernel_choice, "ATTENTION_RULES", (short, *ATTENTION_RULES))
    on_cpu = {"device_kind": "cpu", "precision": "fp32"}
    assert [attention_kernel("masked", keys, **on_cpu) for keys in (65, 66)] == ["fused", "plain"]  # type: ignore[arg-type]
    assert attention_kernel("general", 65, device_kind="cpu", precision="fp32") == "plain"
    assert attention_kernel("bare", 65, device_kind="cuda", precision="fp32") == "plain"


# The rules under each version of NUMERICS["kernels"]: device kind, precision, most keys, kernel.
RULES_OF_VERSION = {1: [("cpu", "fp32", None, "plain"), ("cpu", "bf16", None, "plain")]}


def test_changed_rules_have_another_numerics_version_and_every_rule_names_its_measurement() -> None:
    now = [(rule.device_kind, rule.precision, rule.max_keys, rule.kernel) for rule in ATTENTION_RULES]
    assert now == RULES_OF_VERSION[NUMERICS["kernels"]]
    for rule in ATTENTION_RULES:
        page, _, section = rule.source.partition("#")
        text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
        assert section in [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
