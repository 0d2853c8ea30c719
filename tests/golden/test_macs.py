"""Multiply-adds at 64 px and 200 classes: closed forms of each backbone, and the paper's within stated tolerances."""

import pytest

from slbench.backbones import default_spec
from slbench.image_shape import ImageShape
from slbench.measure.compute_budget import forward_macs
from slbench.measure.macs import ComputeCost, count
from slbench.measure.network import Network
from slbench.methods import METHODS
from slbench.published.numbers import find

CLASSES = 200


def network_of(backbone: str, method: str) -> Network:
    return Network.resolve(default_spec(backbone), METHODS[method], shape=ImageShape((64, 64), 3, CLASSES))


def cost(backbone: str, method: str) -> ComputeCost:
    network = network_of(backbone, method)
    return count(network.build(), shape=network.shape)


def paper(backbone: str, method: str) -> float:
    """Return the paper's multiply-adds in millions."""
    published = find(backbone, method, "macs", dataset="tiny-imagenet")
    assert published is not None and published.unit == "M"
    return published.value


def block(tokens: int, dim: int, *, keys: int | None = None, inner: int | None = None) -> int:
    """Count attention over `keys` tokens (default: all) with `inner` channels of all heads, and an MLP of 2 dim."""
    keys, inner = keys or tokens, inner or dim
    attention = 3 * tokens * dim * inner + 2 * tokens * keys * inner + tokens * inner * dim
    return attention + 2 * tokens * dim * (2 * dim)


def vit(copies: int) -> int:
    """Count 8 x 8 patches of 8 px and a class token."""
    return 8**2 * (8 * 8 * 3 * copies) * 192 + 9 * block(8**2 + 1, 192) + 192 * CLASSES


def t2t(copies: int) -> int:
    """Count soft splits of 3 x 3 to 32 x 32, 16 x 16 and 8 x 8 tokens, with transformers of width 64 between."""

    def narrow(tokens: int, width: int) -> int:
        return 3 * tokens * width * 64 + 2 * tokens**2 * 64 + 3 * tokens * 64 * 64  # projection, MLP of 64 to 64 to 64

    splits = narrow(32**2, 9 * 3 * copies) + narrow(16**2, 9 * 64)
    return splits + 8**2 * (9 * 64) * 256 + 12 * block(8**2 + 1, 256) + 256 * CLASSES


def cait(copies: int) -> int:
    """Count 24 blocks over 64 patches, 4 heads of 64 mixed before and after the softmax; 2 blocks of one query."""
    mixes = 2 * 4 * 4  # per query and key
    patches = 64 * (8 * 8 * 3 * copies) * 192 + 24 * (block(64, 192, inner=256) + 64 * 64 * mixes)
    query = 192 * 256 + 65 * 192 * 512 + 2 * 65 * 256 + 65 * mixes + 256 * 192 + 2 * 192 * 384
    return patches + 2 * query + 192 * CLASSES


def pit(copies: int, pools: bool) -> int:
    """Count 16 x 16 patches of 4 px and a class token, halved and doubled in width twice."""
    macs = 16**2 * (4 * 4 * 3 * copies) * 96
    for side, dim, depth in ((16, 96, 2), (8, 192, 6), (4, 384, 4)):
        macs += depth * block(side**2 + 1, dim)
        if dim < 384:
            grouped = (side // 2) ** 2 * (9 * 2 * dim + (2 * dim) ** 2)  # grouped convolution, then 1 x 1
            shifted = (side // 2) ** 2 * (2 * 2 * dim * copies) * 2 * dim
            macs += (shifted if pools else grouped) + dim * 2 * dim  # and the class token
    return macs + 384 * CLASSES


def swin(copies: int, pools: bool) -> int:
    """Count 16 x 16 patches of 4 px in windows of 4 x 4, merged by fours twice."""
    macs = 16**2 * (4 * 4 * 3 * copies) * 96
    for side, dim, depth in ((16, 96, 2), (8, 192, 6), (4, 384, 4)):
        macs += depth * block(side**2, dim, keys=16)
        if dim < 384:
            macs += (side // 2) ** 2 * (2 * 2 * dim * (copies if pools else 1)) * 2 * dim
    return macs + 384 * CLASSES


def resnet(blocks: int) -> int:
    """Count a stem and three stages of `blocks` x two 3 x 3 convolutions, 16 wide at 64 x 64, halved and doubled."""
    macs = 64**2 * 9 * 3 * 16
    for side, width in ((64, 16), (32, 32), (16, 64)):
        macs += 2 * blocks * side**2 * 9 * width**2
        if width > 16:  # the first reads half the width; skips are free
            macs -= side**2 * 9 * width * (width // 2)
    return macs + 64 * CLASSES


def efficientnet() -> int:
    """Count arXiv:1905.11946, Table 1, with a stem of stride 1 and gates of a quarter of a block's input."""
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


TRANSFORMERS = {  # multiply-adds, and the distance of the paper's in percent
    ("vit", "none"): (vit(1), 0.5),
    ("vit", "lsa"): (vit(1), None),  # not in the paper
    ("vit", "both"): (vit(5), 0.5),
    ("t2t", "none"): (t2t(1), 3.0),
    ("t2t", "both"): (t2t(5), 3.0),
    ("cait", "none"): (cait(1), 3.0),
    ("cait", "both"): (cait(5), 3.0),
    ("pit", "none"): (pit(1, pools=False), 1.5),
    ("pit", "both"): (pit(5, pools=True), 0.5),
    ("pit", "both-no-pool"): (pit(5, pools=False), 1.5),
    ("swin", "none"): (swin(1, pools=False), 0.5),
    ("swin", "both"): (swin(5, pools=True), 0.5),
    ("swin", "both-no-pool"): (swin(5, pools=False), 0.5),
}
CONVOLUTIONAL = {"resnet56": (resnet(9), 1.0), "resnet110": (resnet(18), 1.0), "efficientnet-b0": (efficientnet(), 4.0)}


@pytest.mark.parametrize(
    ("backbone", "method"),
    [
        pytest.param(*pair, marks=() if pair[0] == "vit" or pair[1] == "both" else pytest.mark.slow)
        for pair in TRANSFORMERS
    ],
)
def test_macs_of_transformers_equal_a_closed_form_near_the_paper(backbone: str, method: str) -> None:
    macs, percent = TRANSFORMERS[backbone, method]
    assert forward_macs(network_of(backbone, method)) == macs
    assert percent is None or macs / 1e6 == pytest.approx(paper(backbone, method), rel=percent / 100)


@pytest.mark.parametrize(
    ("backbone", "method"),
    [pytest.param(*pair, marks=() if pair == ("vit", "both") else pytest.mark.slow) for pair in TRANSFORMERS],
)
def test_macs_of_the_record_of_a_transformer_equal_the_closed_form(backbone: str, method: str) -> None:
    assert cost(backbone, method).macs == TRANSFORMERS[backbone, method][0]


@pytest.mark.parametrize(
    "backbone", [pytest.param(name, marks=() if name == "resnet56" else pytest.mark.slow) for name in CONVOLUTIONAL]
)
def test_macs_of_convolutional_networks_equal_a_closed_form_and_with_batch_norm_the_paper(backbone: str) -> None:
    macs, percent = CONVOLUTIONAL[backbone]
    actual, published = cost(backbone, "none"), paper(backbone, "none")
    assert actual.macs == macs
    assert actual.macs / 1e6 == pytest.approx(published, rel=percent / 100)
    assert (actual.macs + actual.norm_operations) / 1e6 == pytest.approx(published, rel=0.001)


@pytest.mark.parametrize("backbone", CONVOLUTIONAL)
def test_macs_of_convolutional_networks_before_training_equal_a_closed_form(backbone: str) -> None:
    assert forward_macs(network_of(backbone, "none")) == CONVOLUTIONAL[backbone][0]


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "billions"), [("vit-tiny", 1.26), ("pit-xs", 1.4), ("swin-tiny", 4.5)])
def test_macs_of_imagenet_presets_are_near_the_published_ones(preset: str, billions: float) -> None:
    """DeiT-Ti as in timm, PiT-XS and Swin-T as in their papers; all are rounded, hence one percent."""
    network = Network.resolve(default_spec(preset), METHODS["none"], shape=ImageShape((224, 224), 3, 1000))
    actual = count(network.build(), shape=network.shape)
    assert actual.macs / 1e9 == pytest.approx(billions, rel=0.01)
