"""The data sets by name, and loading one. The table is free of torch and numpy."""

import dataclasses
import importlib
from typing import TYPE_CHECKING

from slbench.data.specs import DatasetSpec

if TYPE_CHECKING:
    from slbench.data.splits import Splits


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """What the table of data sets says of one."""

    spec: DatasetSpec
    loader: str  # "module:function", of no arguments
    source: str


DEFAULT_DATASET = "fashion-mnist-12k"

DATASETS: dict[str, DatasetEntry] = {
    "fashion-mnist-12k": DatasetEntry(
        DatasetSpec(
            name="fashion-mnist-12k",
            sha256="a082ceae9d48484c7f8182a158ab10457e8490c554cd7b6825083ebb09d48160",
            image_size=(32, 32),
            in_channels=1,
            num_classes=10,
            num_train=10_000,
            num_validation=1_000,
            num_test=2_000,
            mean=(0.21924,),
            std=(0.33242,),
        ),
        "slbench.data.embedded:load_fashion_mnist_12k",
        "Fashion-MNIST (arXiv:1708.07747), a stratified subset that ships with slbench, padded to 32 px",
    ),
}


def load(spec: DatasetSpec) -> "Splits":
    """The images and labels of a data set, in slbench's order.

    Raises:
        InputError: if what is found is not the data that the spec names by its hash.
    """
    from slbench.data.splits import check_content

    module, name = DATASETS[spec.name].loader.split(":")
    splits: Splits = getattr(importlib.import_module(module), name)()
    check_content(splits, spec)
    return splits
