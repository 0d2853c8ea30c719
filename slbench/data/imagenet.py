"""ImageNet-1k from a folder of the user; it may not be redistributed."""

import dataclasses

from slbench.data.own_dataset import DatasetSource, Size, find_spec
from slbench.data.paths import data_root, file_exists
from slbench.data.specs import DatasetSpec
from slbench.errors import InputError

NAME = "imagenet"
ABOUT = "ILSVRC 2012 (arXiv:1409.0575): your folder of it, as DATA_ROOT/imagenet with train/ and val/, or a link"
SIZE = (224, 224)  # px, unless dataset.image_size says otherwise; each side is scaled separately
CLASSES, TRAIN, TEST = 1000, 1_281_167, 50_000  # arXiv:1409.0575, table 2; its `val` is the test set
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as for torchvision's models


def source() -> DatasetSource:
    return DatasetSource("folder", data_root() / NAME)


def find_imagenet(image_size: Size | None) -> DatasetSpec:
    """Return ImageNet from the data root with the usual normalisation, pinned by its content at this size.

    Raises:
        InputError: if it is missing or incomplete.
    """
    if not file_exists(source().path):
        raise InputError(
            f"data set '{NAME}' is not in {data_root()}: put your folder of it there, or a link to it, "
            f"as {source().path} with train/ and val/"
        )
    spec = find_spec(source(), image_size or SIZE)
    counts = (spec.num_classes, spec.num_train, spec.num_test)
    if counts != (CLASSES, TRAIN, TEST):
        counted = "{:,} classes, {:,} training and {:,} test images"
        raise InputError(f"{source().path}: {counted.format(*counts)}; expected {counted.format(CLASSES, TRAIN, TEST)}")
    return dataclasses.replace(spec, name=NAME, mean=MEAN, std=STD)
