"""Multiply-adds at 64 px and 200 classes: a closed form of each backbone; the paper's within stated shares."""

from functools import cache

import pytest

from slbench.backbones import default_spec
from slbench.measure.macs import ComputeCost, count
from slbench.measure.network import Network
from slbench.methods import METHODS
from slbench.published.numbers import find

CLASSES = 200


@cache
def cost(backbone: str, method: str) -> ComputeCost:
    network = Network.resolve(
        default_spec(backbone), METHODS[method], image_size=(64, 64), in_channels=3, num_classes=CLASSES
    )
    return count(network.build(), image_size=(64, 64), in_channels=3)


def block(tokens: int, dim: int, *, keys: int | None = None, inner: int | None = None) -> int:
    """Attention over `keys` tokens (itself, or the window's) with heads of `inner` in all, and an MLP of twice dim."""
    keys, inner = keys or tokens, inner or dim
    attention = 3 * tokens * dim * inner + 2 * tokens * keys * inner + tokens * inner * dim
    return attention + 2 * tokens * dim * (2 * dim)


def t2t(copies: int) -> int:
    """Soft splits of 3 x 3 leave 32 x 32, 16 x 16 and 8 x 8 tokens; the transformers between are 64 wide."""

    def narrow(tokens: int, width: int) -> int:
        return 3 * tokens * width * 64 + 2 * tokens**2 * 64 + 3 * tokens * 64 * 64  # projection, MLP of 64 to 64 to 64

    splits = narrow(32**2, 9 * 3 * copies) + narrow(16**2, 9 * 64)
    return splits + 8**2 * (9 * 64) * 256 + 12 * block(8**2 + 1, 256) + 256 * CLASSES


def cait(copies: int) -> int:
    """24 blocks over 64 patches, 4 heads of 64 mixed before and after the softmax; 2 blocks of one query."""
    mixes = 2 * 4 * 4  # for each pair of query and key
    patches = 64 * (8 * 8 * 3 * copies) * 192 + 24 * (block(64, 192, inner=256) + 64 * 64 * mixes)
    query = 192 * 256 + 65 * 192 * 512 + 2 * 65 * 256 + 65 * mixes + 256 * 192 + 2 * 192 * 384
    return patches + 2 * query + 192 * CLASSES


def pit(copies: int, pools: bool) -> int:
    """16 x 16 patches of 4 px and a class token, halved and doubled in width twice."""
    macs = 16**2 * (4 * 4 * 3 * copies) * 96
    for side, dim, depth in ((16, 96, 2), (8, 192, 6), (4, 384, 4)):
        macs += depth * block(side**2 + 1, dim)
        if dim < 384:
            own = (side // 2) ** 2 * (9 * 2 * dim + (2 * dim) ** 2)  # each channel by itself, then mixed
            shifted = (side // 2) ** 2 * (2 * 2 * dim * copies) * 2 * dim
            macs += (shifted if pools else own) + dim * 2 * dim  # and the class token
    return macs + 384 * CLASSES


def swin(copies: int, pools: bool) -> int:
    """16 x 16 patches of 4 px in windows of 4 x 4, merged by fours twice."""
    macs = 16**2 * (4 * 4 * 3 * copies) * 96
    for side, dim, depth in ((16, 96, 2), (8, 192, 6), (4, 384, 4)):
        macs += depth * block(side**2, dim, keys=16)
        if dim < 384:
            macs += (side // 2) ** 2 * (2 * 2 * dim * (copies if pools else 1)) * 2 * dim
    return macs + 384 * CLASSES


def resnet(blocks: int) -> int:
    """A stem and three stages of `blocks` times two convolutions of 3 x 3, 16 wide at 64 x 64, halved and doubled."""
    macs = 64**2 * 9 * 3 * 16
    for side, width in ((64, 16), (32, 32), (16, 64)):
        macs += 2 * blocks * side**2 * 9 * width**2
        if width > 16:  # the first reads half the width; skips are free
            macs -= side**2 * 9 * width * (width // 2)
    return macs + 64 * CLASSES


def efficientnet() -> int:
    """arXiv:1905.11946, Table 1, from a stem of stride 1; gates of a quarter of a block's input."""
    macs, side, channels = 64**2 * 9 * 3 * 32, 64, 32
    for expansion, kernel, stride, out, depth in (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ):
        for position in range(depth):
            wide = expansion * channels
            macs += side**2 * channels * wide if expansion > 1 else 0
            side //= stride if position == 0 else 1
            macs += side**2 * kernel**2 * wide + 2 * wide * (channels // 4) + side**2 * wide * out
            channels = out
    return macs + 320 * CLASSES


@pytest.mark.parametrize(
    ("backbone", "method", "macs"),
    [
        ("resnet56", "none", resnet(9)),
        ("resnet110", "none", resnet(18)),
        ("efficientnet-b0", "none", efficientnet()),
        ("t2t", "none", t2t(1)),
        ("t2t", "both", t2t(5)),
        ("cait", "none", cait(1)),
        ("cait", "both", cait(5)),
        ("pit", "none", pit(1, pools=False)),
        ("pit", "both", pit(5, pools=True)),
        ("pit", "both-no-pool", pit(5, pools=False)),
        ("swin", "none", swin(1, pools=False)),
        ("swin", "both", swin(5, pools=True)),
        ("swin", "both-no-pool", swin(5, pools=False)),
    ],
)
def test_a_closed_form_gives_the_same_count(backbone: str, method: str, macs: int) -> None:
    assert cost(backbone, method).macs == macs


@pytest.mark.parametrize(
    ("backbone", "method", "percent"),
    [
        ("vit", "none", 0.5),
        ("vit", "both", 0.5),
        ("pit", "both", 0.5),
        ("swin", "none", 0.5),
        ("swin", "both", 0.5),
        ("swin", "both-no-pool", 0.5),
        ("resnet56", "none", 1.0),
        ("resnet110", "none", 1.0),
        ("pit", "none", 1.5),
        ("pit", "both-no-pool", 1.5),
        ("t2t", "none", 3.0),
        ("t2t", "both", 3.0),
        ("cait", "none", 3.0),
        ("cait", "both", 3.0),
        ("efficientnet-b0", "none", 4.0),
    ],
)
def test_macs_are_near_the_papers(backbone: str, method: str, percent: float) -> None:
    published = find(backbone, method, "macs", dataset="tiny-imagenet")
    assert published is not None and published.unit == "M"
    assert cost(backbone, method).macs / 1e6 == pytest.approx(published.value, rel=percent / 100)


@pytest.mark.parametrize("backbone", ["resnet56", "resnet110", "efficientnet-b0"])
def test_with_batch_norm_the_convolutional_networks_meet_the_paper(backbone: str) -> None:
    published = find(backbone, "none", "macs", dataset="tiny-imagenet")
    assert published is not None
    found = cost(backbone, "none")
    assert (found.macs + found.norm_operations) / 1e6 == pytest.approx(published.value, rel=0.001)


@pytest.mark.parametrize(
    ("backbone", "params", "macs"),
    [("pit", (0.23, 0.25), (0.16, 0.18)), ("swin", (0.20, 0.22), (0.16, 0.18))],
)
def test_s_pool_is_not_free(backbone: str, params: tuple[float, float], macs: tuple[float, float]) -> None:
    """What a reviewer will ask about: the share of parameters and multiply-adds that both add to the plain row."""
    plain, both = cost(backbone, "none"), cost(backbone, "both")
    assert params[0] < both.params / plain.params - 1 < params[1]
    assert macs[0] < both.macs / plain.macs - 1 < macs[1]


@pytest.mark.parametrize(("preset", "billions"), [("vit-tiny", 1.26), ("pit-xs", 1.4), ("swin-tiny", 4.5)])
def test_macs_of_an_imagenet_preset_are_near_the_published(preset: str, billions: float) -> None:
    """DeiT-Ti as timm tells it, PiT-XS and Swin-T as their papers do, all rounded: hence one percent."""
    network = Network.resolve(
        default_spec(preset), METHODS["none"], image_size=(224, 224), in_channels=3, num_classes=1000
    )
    found = count(network.build(), image_size=(224, 224), in_channels=3)
    assert found.macs / 1e9 == pytest.approx(billions, rel=0.01)
