"""Exact parameter counts, recomputed from the authors' released code."""

import pytest

from slbench.backbones import build, default_spec
from slbench.image_shape import ImageShape
from slbench.methods import METHODS


def count(backbone: str, method: str, *, image: int, classes: int) -> int:
    network = build(
        default_spec(backbone),
        METHODS[method],
        shape=ImageShape((image, image), 3, classes),
        drop_path=0.1,
        seed=0,
    )
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("image", "classes", "method", "params"),
    [
        (32, 100, "none", 2_709_796),
        (32, 100, "spt", 2_747_140),
        (32, 100, "lsa", 2_709_904),  # 12 more per layer
        (32, 100, "both", 2_747_248),
        (64, 200, "none", 2_756_744),
        (64, 200, "both", 2_906_228),
    ],
)
def test_vit_has_exactly_the_parameters_of_the_released_code(
    image: int, classes: int, method: str, params: int
) -> None:
    assert count("vit", method, image=image, classes=classes) == params


@pytest.mark.parametrize(
    ("backbone", "method", "params"),
    [
        ("t2t", "none", 6_659_262 - 1_152),  # without a norm over 576 that is created there and never used
        ("t2t", "both", 6_680_264 - 1_152),  # Table 2 has 7.1 M
        ("cait", "none", 9_084_936),
        ("cait", "both", 9_234_416),
        ("pit", "none", 7_049_192),
        ("pit", "both", 8_732_804),
        ("pit", "both-no-pool", 7_068_164),  # computed: the released code lost the switch
        ("swin", "none", 7_149_794),
        ("swin", "both", 8_652_956),  # Table 2 has 10.2 M
        ("swin", "both-no-pool", 7_168_604),  # computed: the released code lost the switch
    ],
)
def test_the_other_transformers_have_exactly_the_parameters_of_the_released_code(
    backbone: str, method: str, params: int
) -> None:
    assert count(backbone, method, image=64, classes=200) == params


@pytest.mark.parametrize(
    ("backbone", "heads"),
    [
        ("t2t", 12 * 4 + 1),  # at 32 px one token transformer, of one head
        ("cait", (24 + 2) * 4),
        ("pit", 2 * 2 + 6 * 4 + 4 * 8),
        ("swin", 2 * 3 + 6 * 6 + 4 * 12),
    ],
)
def test_lsa_adds_one_parameter_for_each_head_and_nothing_else(backbone: str, heads: int) -> None:
    plain = count(backbone, "none", image=32, classes=10)
    assert count(backbone, "lsa", image=32, classes=10) == plain + heads


@pytest.mark.parametrize(
    ("backbone", "millions", "exact"),
    [
        # Table 2 of arXiv:2112.13492 gives one decimal; the exact numbers are ours.
        ("resnet56", 0.9, 865_368),
        ("resnet110", 1.7, 1_740_312),
        ("efficientnet-b0", 3.66, 3_659_588),
    ],
)
def test_the_convolutional_baselines_have_the_published_parameters(backbone: str, millions: float, exact: int) -> None:
    params = count(backbone, "none", image=64, classes=200)
    assert params == exact
    assert round(params / 1e6, len(str(millions).partition(".")[2])) == millions


@pytest.mark.parametrize(
    ("preset", "params"),
    [
        # As in timm 1.0.31, which loads the authors' weights; see tests/backbones/test_presets.py.
        ("vit-tiny", 5_717_416),  # deit_tiny_patch16_224
        ("pit-xs", 10_618_888),  # pit_xs_224
        ("swin-tiny", 28_288_354),  # swin_tiny_patch4_window7_224
    ],
)
def test_an_imagenet_preset_has_exactly_the_parameters_of_its_source(preset: str, params: int) -> None:
    assert count(preset, "none", image=224, classes=1000) == params
