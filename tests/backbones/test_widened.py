"""The control of equal parameters: a plain backbone with as many parameters as with SPT and LSA."""

from typing import Any

import pytest

from slbench.backbones import BACKBONES, count_parameters, default_spec, resolve_network
from slbench.backbones.specs import BackboneSpec, ViTSpec
from slbench.errors import InapplicableError, InputError
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from tests.support import naming, runs

TRANSFORMERS = [name for name, entry in BACKBONES.items() if entry.tokens != "none"]


def sized(spec: BackboneSpec, name: str, side: int = 64) -> tuple[BackboneSpec, Method]:
    return resolve_network(spec, METHODS[name], shape=ImageShape((side, side), 3, 200))


def parameters(spec: BackboneSpec, name: str, side: int = 64) -> int:
    widened, method = sized(spec, name, side)
    return count_parameters(widened, method, shape=ImageShape((side, side), 3, 200))


@pytest.mark.parametrize("side", [pytest.param(32, marks=pytest.mark.slow), 64])
@pytest.mark.parametrize("backbone", TRANSFORMERS)
def test_none_wide_has_the_parameters_of_both_within_one_percent(backbone: str, side: int) -> None:
    spec = default_spec(backbone)
    plain, both, wide = (parameters(spec, name, side) for name in ("none", "both", "none-wide"))
    assert wide == pytest.approx(both, rel=0.01)
    assert plain < wide


def test_none_wide_is_the_plain_method_with_a_wider_mlp() -> None:
    spec, method = sized(ViTSpec(), "none-wide")
    plain, plain_method = sized(ViTSpec(), "none")
    assert method == plain_method
    assert isinstance(spec, ViTSpec) and isinstance(plain, ViTSpec)
    assert spec == ViTSpec(patch_size=8, mlp_ratio=spec.mlp_ratio)
    # SPT and LSA cost 149,484 here; a hidden unit costs 9 blocks x (2 x 192 + 1), in 192 to a ratio of 1.
    assert spec.mlp_ratio == pytest.approx(2 + 149_484 / (9 * 385 * 192), abs=0.001)


def test_none_wide_has_the_run_id_of_the_backbone_with_that_mlp_ratio() -> None:
    (wide,) = runs({"method": ["none-wide"]})
    assert isinstance(wide.spec.backbone, ViTSpec)
    (named,) = runs(set={"backbone.mlp_ratio": wide.spec.backbone.mlp_ratio})
    assert wide.labels.method == "none-wide"
    assert wide.spec.run_id == named.spec.run_id


def test_none_wide_is_refused_if_no_mlp_ratio_matches() -> None:
    coarse = ViTSpec(patch_size=4, dim=4, depth=30, num_heads=1)  # a hidden unit is 270 of some 5,000 parameters
    with pytest.raises(InapplicableError, match=naming("mlp_ratio", "ViT", "5,356")):
        resolve_network(coarse, METHODS["none-wide"], shape=ImageShape((8, 8), 1, 2))


@pytest.mark.parametrize("fields", [{"widened": True}, {"match_parameters": "gmm"}])
@pytest.mark.parametrize("other", [{"mask_self": True}, {"shift": "diagonal"}, {"registers": 4}, {"mlp": "depthwise"}])
def test_a_control_with_other_fields_is_refused(fields: dict[str, Any], other: dict[str, Any]) -> None:
    ((name, value),) = fields.items()
    with pytest.raises(InputError, match=naming(name, "true" if value is True else value)):
        Method(**fields, **other)


def test_both_controls_at_once_are_refused() -> None:
    with pytest.raises(InputError, match=naming("match_parameters", "widened", "lsa")):
        Method(widened=True, match_parameters="lsa")


@pytest.mark.parametrize("name", ["dw-mlp", "spt", "conv-stem", "cct", "mean-pool"])
def test_the_plain_vit_is_matched_to_any_method(name: str) -> None:
    shape = ImageShape((32, 32), 3, 100)
    spec, method = resolve_network(default_spec("vit"), Method(match_parameters=name), shape=shape)
    assert method == resolve_network(default_spec("vit"), Method(), shape=shape)[1]
    wanted = count_parameters(*resolve_network(default_spec("vit"), METHODS[name], shape=shape), shape=shape)
    half_a_unit = 9 * (2 * 192 + 1) / 2
    assert abs(count_parameters(spec, method, shape=shape) - wanted) <= half_a_unit


def test_matching_both_is_none_wide() -> None:
    table = {"name": "as-both", "match_parameters": "both"}
    (run,) = runs({"method": ["none-wide", "as-both"]}, method=[table])
    assert run.labels.method == "none-wide"


def test_a_method_of_the_study_can_be_matched() -> None:
    tables = [{"name": "mixture", "gaussians": 40}, {"name": "as-mixture", "match_parameters": "mixture"}]
    plain, mixture, control = runs({"method": ["none", "mixture", "as-mixture"]}, method=tables)
    counts = [sum(p.numel() for p in run.spec.build_network().parameters()) for run in (plain, mixture, control)]
    assert counts[0] < counts[1]
    assert counts[2] == pytest.approx(counts[1], rel=0.01)
    assert control.spec.method == plain.spec.method


@pytest.mark.parametrize(
    ("target", "words"), [("gm", ("match_parameters", "gm", "gmm")), ("none-wide", ("match_parameters", "none-wide"))]
)
def test_an_unknown_method_or_another_control_cannot_be_matched(target: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=naming(*words)) as caught:
        runs({"method": ["control"]}, method=[{"name": "control", "match_parameters": target}])
    assert "\n" not in str(caught.value)


def test_a_method_that_does_not_apply_cannot_be_matched() -> None:
    with pytest.raises(InapplicableError, match=naming("registers", "Swin", "ViT")):
        resolve_network(default_spec("swin"), Method(match_parameters="registers"), shape=ImageShape((32, 32), 3, 10))


@pytest.mark.parametrize("backbone", ["resnet56", "efficientnet-b0"])
def test_none_wide_is_refused_for_convolutional_networks(backbone: str) -> None:
    with pytest.raises(InapplicableError, match=naming("attention")):
        sized(default_spec(backbone), "none-wide")
