"""Method: defaults, resolution and errors."""

import dataclasses
from typing import Any

import pytest

from slbench.errors import InputError
from slbench.methods import METHODS, Method, model_title
from slbench.validation import checked
from tests.support import naming


def test_the_default_method_changes_neither_tokenizer_nor_attention() -> None:
    assert not Method().changes_tokenizer
    assert not Method().changes_attention


def test_registered_methods_differ() -> None:
    resolved = [method.resolved(pools=True) for method in METHODS.values()]
    assert len(set(resolved)) == len(METHODS)


def test_both_is_spt_and_lsa_together() -> None:
    spt, lsa, both = (dataclasses.asdict(METHODS[name]) for name in ("spt", "lsa", "both"))
    plain = dataclasses.asdict(Method())
    changes = {key: value for fields in (spt, lsa) for key, value in fields.items() if value != plain[key]}
    assert both == plain | changes


def test_methods_have_the_titles_of_the_paper() -> None:
    titles = [model_title("ViT", name) for name in ("none", "spt", "lsa", "both", "temperature-only", "mask-only")]
    assert titles == ["ViT", "S-ViT", "L-ViT", "SL-ViT", "T-ViT", "M-ViT"]
    assert model_title("ViT", "window-2p") == "ViT, window-2p"
    assert model_title("PiT", "both-no-pool") == "SL-PiT without S_pool"


@pytest.mark.parametrize(
    ("ratio", "patch", "pixels"),
    [(0.5, 4, 2), (0.5, 8, 4), (0.5, 7, 3), (0.25, 4, 1), (0.75, 8, 6), (1.0, 5, 5), (0.29, 100, 29)],
)
def test_a_ratio_is_floored_to_pixels(ratio: float, patch: int, pixels: int) -> None:
    assert Method(shift="diagonal", shift_ratio=ratio).pixels(patch) == pixels


def test_the_default_ratio_is_a_half() -> None:
    assert METHODS["spt"].pixels(8) == 4
    assert METHODS["spt"].resolved(pools=False).shift_ratio == 0.5


def test_shift_pixels_replace_the_ratio() -> None:
    assert METHODS["spt-1px-cardinal"].pixels(8) == 1
    assert METHODS["spt-1px-cardinal"].resolved(pools=False).shift_ratio is None


def test_a_ratio_below_one_pixel_is_refused_with_the_smallest_allowed() -> None:
    with pytest.raises(InputError, match=naming("shift_ratio", "0.25", "2 px", "0 px", "1/2", "0.5")):
        Method(shift="diagonal", shift_ratio=0.25).pixels(2)
    assert Method(shift="diagonal", shift_ratio=0.5).pixels(2) == 1


def test_a_shift_as_large_as_the_image_is_refused() -> None:
    with pytest.raises(InputError, match=naming("shift", "8 px", "8 x 16 px")):
        Method(shift="diagonal", shift_pixels=8).check_shift(4, (8, 16))


def test_methods_with_a_shift_have_a_layer_norm_by_default() -> None:
    norms = {name: METHODS[name].resolved(pools=True).layer_norm for name in METHODS}
    with_norm = {name for name, norm in norms.items() if norm}
    shifted = {"spt", "both", "spt-no-pool", "both-no-pool", "spt-cardinal", "spt-all8", "spt-1px-cardinal"}
    assert with_norm == shifted | {"layer-norm-only", "window-2p"}


@pytest.mark.parametrize(
    ("requested", "pools", "becomes"),
    [("auto", True, "yes"), ("auto", False, "no"), ("no", True, "no"), ("yes", True, "yes")],
)
def test_s_pool_is_resolved_by_the_backbone(requested: Any, pools: bool, becomes: str) -> None:
    method = dataclasses.replace(METHODS["spt"], s_pool=requested)
    assert method.resolved(pools=pools).s_pool == becomes


def test_s_pool_without_pooling_layers_is_refused() -> None:
    with pytest.raises(InputError, match=naming("pooling")):
        dataclasses.replace(METHODS["spt"], s_pool="yes").resolved(pools=False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shift": "diagonal", "shift_ratio": 0.5, "shift_pixels": 1}, naming("shift_ratio", "shift_pixels")),
        ({"shift_ratio": 0.5}, naming("shift")),
        ({"s_pool": "yes"}, naming("shift")),
        ({"shift": "all8", "window": 2}, naming("control")),
        ({"temperature_per": "layer"}, naming("learn_temperature")),
        ({"initial_temperature": 0}, naming("initial_temperature", "0")),
        ({"shift": "diagonal", "shift_ratio": 1.5}, naming("shift_ratio", "1")),
        ({"shift": "sideways"}, naming("none", "diagonal", "cardinal", "all8")),
    ],
)
def test_contradictory_fields_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked(Method, fields, where="method")
