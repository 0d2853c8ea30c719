"""Parameter counts: those of the authors' released code, recomputed from it. Exact."""

import pytest

from slbench.backbones import build
from slbench.backbones.specs import ViTSpec
from slbench.methods import METHODS


@pytest.mark.parametrize(
    ("image", "classes", "method", "params"),
    [
        (32, 100, "none", 2_709_796),
        (32, 100, "spt", 2_747_140),
        (32, 100, "lsa", 2_709_904),  # 12 a layer more
        (32, 100, "both", 2_747_248),
        (64, 200, "none", 2_756_744),
        (64, 200, "both", 2_906_228),
    ],
)
def test_vit_has_exactly_the_parameters_of_the_released_code(
    image: int, classes: int, method: str, params: int
) -> None:
    network = build(
        ViTSpec(), METHODS[method], image_size=(image, image), in_channels=3, num_classes=classes, drop_path=0.1, seed=0
    )
    assert sum(parameter.numel() for parameter in network.parameters()) == params
