"""Golden losses of every backbone with every method: they change with the numerics of a part.

Measured on a CPU with AVX2, one thread, fp32, by `python -m tests.golden.test_pairs > tests/golden/pairs.csv`;
other processors sum in another order, hence the tolerance. After an intended change, raise the version of the
part in slbench.numerics_versions and rewrite the file in the same commit.
"""

import csv
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from slbench.backbones.specs import CaiTSpec
from slbench.gpu_check import CHANNELS, CLASSES, PAIRS, SMALL, losses
from slbench.image_shape import ImageShape
from slbench.measure.network import Network
from slbench.methods import METHODS
from slbench.numerics_versions import NUMERICS

FILE = Path(__file__).with_name("pairs.csv")
TOLERANCE = 1e-3
RELEASED_CAIT = [
    1.503694,
    1.305165,
    0.88149,
    0.759979,
    0.612358,
]  # losses of CaiT with variant "released" and method "both"


def network(backbone: str, method: str) -> Network:
    spec, image_size = SMALL[backbone]
    return Network.resolve(spec, METHODS[method], shape=ImageShape(image_size, CHANNELS, CLASSES))


def versions(backbone: str, method: str) -> dict[str, int]:
    """Return the versions of the parts that determine the losses."""
    return {**network(backbone, method).numerics, "trainer": NUMERICS["trainer"]}


def golden() -> dict[tuple[str, str], dict[str, str]]:
    with FILE.open(newline="") as file:
        return {(row["backbone"], row["method"]): row for row in csv.DictReader(file)}


def measured(backbone: str, method: str) -> list[float]:
    return losses(backbone, method, device=torch.device("cpu"))


def test_every_pair_has_golden_losses() -> None:
    assert list(golden()) == PAIRS


@pytest.mark.parametrize(("backbone", "method"), PAIRS)
def test_losses_of_a_pair_move_only_with_a_raised_version(backbone: str, method: str) -> None:
    row = golden()[backbone, method]
    assert json.loads(row["numerics"]) == versions(backbone, method)
    assert measured(backbone, method) == pytest.approx(json.loads(row["losses"]), rel=TOLERANCE)


def test_losses_of_the_released_cait_move_only_with_a_raised_version() -> None:
    spec, size = SMALL["cait"]
    assert isinstance(spec, CaiTSpec)
    released = dataclasses.replace(spec, variant="released")
    shape = ImageShape(size, CHANNELS, CLASSES)
    assert Network.resolve(released, METHODS["both"], shape=shape).numerics == {"cait": 2, "spt": 1, "lsa": 1}
    actual = losses("cait", "both", device=torch.device("cpu"), sizes={"cait": (released, size)})
    assert actual == pytest.approx(RELEASED_CAIT, rel=TOLERANCE)


def test_methods_that_differ_have_losses_that_differ_by_more_than_the_tolerance() -> None:
    """So the tolerance cannot hide a missing mask or a wrong shift. (Half a patch of 2 px is 1 px.)"""
    same = {"spt-cardinal", "spt-1px-cardinal"}
    loss = {pair: json.loads(row["losses"]) for pair, row in golden().items()}
    for first, second in itertools.combinations(PAIRS, 2):
        if first[0] == second[0] and {first[1], second[1]} != same:
            assert loss[first] != pytest.approx(loss[second], rel=3 * TOLERANCE), (first, second)


def rows() -> Iterator[dict[str, Any]]:
    for backbone, method in PAIRS:
        rounded = [round(loss, 6) for loss in measured(backbone, method)]
        yield {
            "backbone": backbone,
            "method": method,
            "numerics": json.dumps(versions(backbone, method)),
            "losses": json.dumps(rounded),
        }


if __name__ == "__main__":
    writer = csv.DictWriter(sys.stdout, ["backbone", "method", "numerics", "losses"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows())
