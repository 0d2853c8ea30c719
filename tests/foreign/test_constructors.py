"""Constructors of foreign models: arguments, images, errors in one line; the check before a grid."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.ops import StochasticDepth

from slbench.backbones import build, meta_network
from slbench.backbones.specs.foreign import ForeignSpec
from slbench.errors import InapplicableError, InputError
from slbench.foreign.check import check_model, check_models
from slbench.foreign.constructors import construct, constructor_of
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from tests.foreign.helpers import EXAMPLES, MODEL, VIT, sized, write
from tests.support import missing, naming

SHAPE = ImageShape((16, 16), channels=1, classes=7)
SWIN: dict[str, Any] = {
    "name": "torchvision:SwinTransformer",
    "patch_size": [4, 4],
    "embed_dim": 6,
    "depths": [1, 1],
    "num_heads": [2, 3],
    "window_size": [2, 2],
}
TIMM_SWIN: dict[str, Any] = {
    "name": "timm:swin_tiny_patch4_window7_224",
    "patch_size": 2,
    "embed_dim": 6,
    "depths": [1, 1],
    "num_heads": [2, 3],
    "window_size": 4,
}


def made(spec: ForeignSpec, *, shape: ImageShape = SHAPE, drop_path: float = 0.0) -> nn.Module:
    return construct(spec, shape=shape, drop_path=drop_path)


def test_the_data_set_and_the_recipe_are_passed_where_the_constructor_accepts_them() -> None:
    model: Any = made(sized(VIT), drop_path=0.3)
    assert (model.num_classes, model.patch_embed.img_size, model.patch_embed.proj.in_channels) == (7, (16, 16), 1)
    deeper: Any = made(sized({**VIT, "depth": 2}), drop_path=0.3)
    assert deeper.blocks[1].drop_path1.drop_prob == pytest.approx(0.3)


def test_a_model_of_timm_is_what_timm_creates_with_these_arguments() -> None:
    torch.manual_seed(5)
    ours = made(sized(TIMM_SWIN))
    torch.manual_seed(5)
    keywords: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in TIMM_SWIN.items()
    }
    name = keywords.pop("name").partition(":")[2]
    theirs = timm.create_model(name, img_size=16, in_chans=1, num_classes=7, **keywords)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_one_channel_is_read_as_three_equal_ones_by_models_of_torchvision() -> None:
    gray = build(sized(SWIN), Method(), shape=SHAPE, drop_path=0.0, seed=3).eval()
    colour = build(sized(SWIN), Method(), shape=dataclasses.replace(SHAPE, channels=3), drop_path=0.0, seed=3).eval()
    images = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(gray(images), colour(images.expand(-1, 3, -1, -1)))


def test_initial_values_depend_on_the_seed_alone() -> None:
    first, again, other = (
        build(sized(VIT), METHODS["lsa"], shape=SHAPE, drop_path=0.0, seed=seed).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_network_without_values_has_the_layers_of_the_built_one() -> None:
    state = torch.get_rng_state()
    meta = meta_network(sized(VIT), METHODS["both"], shape=SHAPE)
    assert torch.equal(state, torch.get_rng_state())
    built = build(sized(VIT), METHODS["both"], shape=SHAPE, drop_path=0.0, seed=0)
    assert {name: value.shape for name, value in meta.named_parameters()} == {
        name: value.shape for name, value in built.named_parameters()
    }
    assert {parameter.device.type for parameter in meta.parameters()} == {"meta"}


@pytest.mark.parametrize("table", [VIT, TIMM_SWIN])
def test_arguments_of_the_class_that_an_entry_point_builds_are_known(table: dict[str, Any]) -> None:
    constructor = constructor_of(sized(table))
    assert {"embed_dim", "img_size", "drop_path_rate"} <= set(constructor.accepts)
    assert not constructor.open_ended


def test_functions_of_torchvision_accept_what_their_class_accepts() -> None:
    constructor = constructor_of(sized({"name": "torchvision:vit_b_16"}))
    assert {"image_size", "num_classes"} <= set(constructor.accepts)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_functions_of_torchvision_that_fix_stochastic_depth_follow_the_recipe(rate: float) -> None:
    with torch.device("meta"):
        ours = made(sized({"name": "torchvision:swin_t"}), drop_path=rate)
        heads, window = [3, 6, 12, 24], [7, 7]
        theirs = torchvision.models.SwinTransformer(
            [4, 4], 96, [2, 2, 6, 2], heads, window, stochastic_depth_prob=rate, num_classes=7
        )
    rates = [
        [module.p for module in model.modules() if isinstance(module, StochasticDepth)] for model in (ours, theirs)
    ]
    assert rates[0] == pytest.approx(rates[1]) and len(rates[0]) == 12
    assert {name: value.shape for name, value in ours.named_parameters()} == {
        name: value.shape for name, value in theirs.named_parameters()
    }


def test_softmaxes_that_stay_are_noted_once_for_a_backbone_and_a_method(tmp_path: Path) -> None:
    text = (EXAMPLES / "tiny_vit.py").read_text()
    line = "        scores: Tensor = self.head("
    assert line in text
    write(tmp_path / "gated.py", text.replace(line, f"        tokens = tokens * tokens.softmax(1)\n{line}"))
    spec = sized({"name": "gated.py:TinyViT", "patch_size": 8, "dim": 6, "depth": 1, "num_heads": 2}, tmp_path)
    networks = [
        (f"gated, {method}", (spec, spec.resolved_method(METHODS[method]), shape, 0.0))
        for method in ("none", "lsa", "mask-only")
        for shape in (SHAPE, dataclasses.replace(SHAPE, size=(32, 32)))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notes = check_models(networks)
        assert meta_network(*networks[2][1][:2], shape=SHAPE) is not None
    assert [note.partition(":")[0] for note in notes] == ["gated, lsa", "gated, mask-only"]
    assert not missing(notes[0], "softmaxes", "stay as they are", "the model itself (TinyViT, 5 x 4 x 6)")


@pytest.mark.parametrize(
    ("table", "method", "words"),
    [
        ({**VIT, "embed_dimm": 12}, "none", ["embed_dimm", "embed_dim"]),
        ({**VIT, "patch_size": 5}, "none", ["patch_size", "5", "16 x 16"]),
        ({**VIT, "num_classes": 7}, "none", ["num_classes", "data set"]),
        ({**VIT, "drop_path_rate": 0.1}, "none", ["drop_path_rate", "recipe.drop_path"]),
        ({**VIT, "embed_dim": 13}, "none", ["arguments", "16 x 16"]),
        ({**VIT, "pretrained_cfg": {}}, "none", ["pretrained_cfg"]),
        ({**TIMM_SWIN, "img_size": 18}, "none", ["16"]),
        ({"name": "timm:resnet10t"}, "lsa", ["attention"]),
        ({**VIT}, "spt-no-pool", []),
    ],
)
def test_what_does_not_fit_is_one_line_before_the_grid(table: dict[str, Any], method: str, words: list[str]) -> None:
    spec = sized(table)
    if not words:
        check_model(spec, spec.resolved_method(METHODS[method]), SHAPE, 0.0)
        return
    with pytest.raises(InputError) as caught:
        check_model(spec, spec.resolved_method(METHODS[method]), SHAPE, 0.0)
    assert not missing(str(caught.value), *words)
    assert "\n" not in str(caught.value)


def test_a_method_that_finds_nothing_to_change_does_not_apply() -> None:
    spec = sized({"name": "timm:resnet10t"})
    with pytest.raises(InapplicableError):
        check_model(spec, spec.resolved_method(METHODS["mask-only"]), SHAPE, 0.0)


def test_another_version_of_the_package_is_refused() -> None:
    spec = dataclasses.replace(sized(VIT), version="timm 0.0.1")
    with pytest.raises(InputError, match=naming("0.0.1")):
        made(spec)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("return self.layers(x)", "return self.layers(x)[:, 1:]"), ["[2, 7]", "[2, 6]"]),
        (("return self.layers(x)", "return x.nonsense"), ["models.py:11", "AttributeError", "nonsense"]),
        (("super().__init__()", "super().__init__(); 1 / 0"), ["models.py:7", "ZeroDivisionError"]),
        (("class Tiny(nn.Module)", "class Tiny"), ["models.py"]),
        (("def __init__(self, num_classes, in_chans, *,", "def __init__(self, n, *,"), ["models.py", "n"]),
    ],
)
def test_a_model_of_a_user_that_fails_names_file_and_line(
    tmp_path: Path, change: tuple[str, str], words: list[str]
) -> None:
    text = MODEL.replace("nn.LazyLinear(num_classes)", "nn.Linear(4 * width, num_classes)")
    assert change[0] in text
    write(tmp_path / "models.py", text.replace(*change))
    with pytest.raises(InputError) as caught:
        check_model(sized({"name": "models.py:Tiny"}, tmp_path), Method(), SHAPE, 0.0)
    assert not missing(str(caught.value), *words)
    assert "\n" not in str(caught.value)


def test_stochastic_depth_that_a_model_lacks_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "models.py", MODEL)
    with pytest.raises(InputError) as caught:
        made(sized({"name": "models.py:Tiny"}, tmp_path), drop_path=0.1)
    assert not missing(str(caught.value), "models.py:Tiny", "recipe.drop_path", "drop_path_rate")
