"""The control of equal parameters: a plain backbone with as many parameters as with SPT and LSA."""

import pytest

from slbench.backbones import BACKBONES, count_parameters, default_spec, resolve_network
from slbench.backbones.specs import BackboneSpec, ViTSpec
from slbench.errors import InapplicableError
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from tests.support import naming, runs

TRANSFORMERS = [name for name, entry in BACKBONES.items() if entry.tokens != "none"]


def sized(spec: BackboneSpec, name: str, side: int = 64) -> tuple[BackboneSpec, Method]:
    return resolve_network(spec, METHODS[name], shape=ImageShape((side, side), 3, 200))


def parameters(spec: BackboneSpec, name: str, side: int = 64) -> int:
    widened, method = sized(spec, name, side)
    return count_parameters(widened, method, shape=ImageShape((side, side), 3, 200))


@pytest.mark.parametrize("side", [32, 64])
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


def test_widened_with_spt_or_lsa_is_refused() -> None:
    with pytest.raises(ValueError, match=naming("widened", "true")):
        Method(widened=True, mask_self=True)


@pytest.mark.parametrize("backbone", ["resnet56", "efficientnet-b0"])
def test_none_wide_is_refused_for_convolutional_networks(backbone: str) -> None:
    with pytest.raises(InapplicableError, match=naming("attention")):
        sized(default_spec(backbone), "none-wide")
