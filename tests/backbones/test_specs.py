"""Default sizes of backbones, and errors for invalid ones."""

from typing import Any

import pytest

from slbench.backbones import BACKBONES, check_method, default_spec
from slbench.backbones.specs import (
    CaiTSpec,
    EfficientNetSpec,
    PiTSpec,
    ResNetSpec,
    SwinSpec,
    T2TSpec,
    ViTSpec,
    registered,
)
from slbench.errors import InapplicableError, InputError
from slbench.methods import METHODS, Method
from tests.support import naming


@pytest.mark.parametrize(
    ("backbone", "field", "at_32", "at_64"),
    [
        ("vit", "patch_size", 4, 8),
        ("t2t", "num_splits", 2, 3),
        ("cait", "patch_size", 4, 8),
        ("pit", "patch_size", 2, 4),
        ("swin", "patch_size", 2, 4),
        ("swin", "window_size", 4, 4),
        ("resnet56", "blocks_per_stage", 9, 9),
        ("resnet110", "blocks_per_stage", 18, 18),
    ],
)
def test_default_sizes_are_those_of_the_paper(backbone: str, field: str, at_32: int, at_64: int) -> None:
    spec = default_spec(backbone)
    assert getattr(spec.resolved((32, 32)), field) == at_32
    assert getattr(spec.resolved((64, 64)), field) == at_64


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [(28, 28), (32, 32), (32, 64), (96, 96), (224, 224)])
def test_default_sizes_fit_common_images_and_resolve_to_themselves(backbone: str, size: tuple[int, int]) -> None:
    resolved_spec = default_spec(backbone).resolved(size)
    assert resolved_spec.resolved(size) == resolved_spec
    assert resolved_spec.name == backbone
    assert BACKBONES[backbone].spec is type(resolved_spec)


def test_the_default_window_tiles_every_stage() -> None:
    resolved_spec = SwinSpec().resolved((28, 28))
    assert (resolved_spec.patch_size, resolved_spec.window_size) == (1, 7)
    assert [resolved_spec.grid((28, 28), stage) for stage in range(3)] == [(28, 28), (14, 14), (7, 7)]


@pytest.mark.parametrize(
    ("spec", "values", "error"),
    [
        (ViTSpec, {"num_heads": 5}, naming("num_heads", "5", "192")),
        (T2TSpec, {"num_heads": 5}, naming("num_heads", "5", "256")),
        (T2TSpec, {"dim": 7, "num_heads": 1}, naming("dim", "even", "7")),
        (PiTSpec, {"num_heads": (2, 5, 8)}, naming("num_heads", "5", "192")),
        (PiTSpec, {"depths": (2, 6)}, naming("dims", "depths", "num_heads", "3, 2, 3")),
        (PiTSpec, {"dims": (4, 8, 12), "num_heads": (1, 1, 1)}, naming("dims", "12", "8")),
        (SwinSpec, {"num_heads": (3, 6, 11)}, naming("num_heads", "11", "384")),
        (CaiTSpec, {"mlp_ratio": 0.001}, naming("mlp_ratio", "0.001", "192")),
        (EfficientNetSpec, {"depths": (1, 2)}, naming("dims", "depths", "7", "2")),
    ],
)
def test_contradictory_sizes_are_refused(spec: Any, values: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        spec(**values)


@pytest.mark.parametrize(
    ("spec", "size", "error"),
    [
        (ViTSpec(patch_size=4), (8, 10), naming("patch_size", "4", "8 x 10 px", "1", "2")),
        (T2TSpec(num_splits=6), (32, 64), naming("num_splits", "6", "32 x 64 px", "1 to 5")),
        (T2TSpec(), (1, 64), naming("1 x 64 px")),
        (CaiTSpec(patch_size=8), (8, 8), naming("patch_size", "8", "8 x 8 px")),
        (PiTSpec(patch_size=3), (32, 32), naming("patch_size", "3", "32 x 32 px", "1", "2", "4", "8")),
        (PiTSpec(patch_size=16), (32, 32), naming("4", "1, 2, 4, 8")),
        (PiTSpec(), (30, 30), naming("30 x 30 px")),
        (SwinSpec(window_size=3), (32, 32), naming("16 x 16, 8 x 8, 4 x 4", "2, 4, 8, 16")),
        (SwinSpec(), (48, 64), naming("12 x 16, 6 x 8, 3 x 4", "none at patch_size 4")),
        (SwinSpec(patch_size=8), (32, 32), naming("1 x 1")),
    ],
)
def test_sizes_that_do_not_fit_the_image_are_refused_with_the_allowed_ones(
    spec: Any, size: tuple[int, int], error: str
) -> None:
    with pytest.raises(InputError, match=error) as caught:
        spec.resolved(size)
    assert "\n" not in str(caught.value)


def test_resnet_specs_have_the_name_of_their_depth() -> None:
    assert default_spec("resnet110") == ResNetSpec(name="resnet110")
    with pytest.raises(InputError, match=naming("resnet50", "resnet56")):
        default_spec("resnet50")


NOT_T2T = {"impulse-init", "impulse-norms", "cct", "cct-tokenizer", "cct-3x2", "conv-stem"}
NOT_CAIT = {"mimetic-init", "impulse-init", "impulse-norms", "mean-pool", "gmm-mean-pool", "cct", "cct-3x2"}
NOT_SWIN = {"impulse-init", "impulse-norms", "mean-pool", "gmm-mean-pool", "cct", "cct-3x2", "cct-tokenizer"}
INAPPLICABLE = {
    "t2t": NOT_T2T
    | {
        "layer-norm-only",
        "overlapping-conv",
        "overlapping-conv-pool",
        "window-2p",
        "spt-no-layer-norm",
        "spt-no-pool",
        "both-no-pool",
    },
    "vit": {"spt-no-pool", "both-no-pool", "overlapping-conv-pool"},
    "cait": NOT_CAIT | {"spt-no-pool", "both-no-pool", "overlapping-conv-pool", "seq-pool", "registers"},
    "pit": NOT_SWIN | {"seq-pool", "registers"},
    "swin": NOT_SWIN | {"registers"},
    "resnet56": set(METHODS) - {"none"},
    "resnet110": set(METHODS) - {"none"},
    "efficientnet-b0": set(METHODS) - {"none"},
}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_inapplicable_method_is_refused_in_one_line(backbone: str) -> None:
    for name, method in METHODS.items():
        if name not in INAPPLICABLE[backbone]:
            check_method(default_spec(backbone), method)
            continue
        with pytest.raises(InapplicableError) as caught:
            check_method(default_spec(backbone), method)
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ratio", [0.25, 0.75, 1.0])
def test_soft_splits_refuse_a_shift_ratio(ratio: float) -> None:
    with pytest.raises(InapplicableError, match=naming("shift_ratio", "soft splits")):
        check_method(T2TSpec(), Method(shift="diagonal", shift_ratio=ratio))


def test_soft_splits_shift_by_one_pixel_by_default() -> None:
    entry = BACKBONES["t2t"]
    resolved_spec = entry.resolved(METHODS["spt"])
    assert (resolved_spec.shift_pixels, resolved_spec.shift_ratio, resolved_spec.layer_norm) == (1, None, False)
    assert entry.resolved(resolved_spec) == resolved_spec
    assert entry.resolved(Method(shift="diagonal", shift_pixels=2)).shift_pixels == 2


@pytest.mark.parametrize("name", [None, 3, [], {}, "vitt"])
def test_stored_sizes_of_no_registered_name_are_refused(name: object) -> None:
    with pytest.raises(ValueError, match="unknown backbone"):
        registered({"name": name, "depth": 2})
