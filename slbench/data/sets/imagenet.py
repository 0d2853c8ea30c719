"""ImageNet-1k from a folder of the user; it may not be redistributed."""

import dataclasses

from slbench.data.config import DataConfig, file_exists
from slbench.data.own.facts import DatasetSource, Size, find_spec
from slbench.data.specs import DatasetSpec
from slbench.errors import InputError

NAME = "imagenet"
ABOUT = "ILSVRC 2012 (arXiv:1409.0575): your folder of it, as DATA_ROOT/imagenet with train/ and val/, or a link"
SIZE = (224, 224)  # px, unless dataset.image_size says otherwise; each side is scaled separately
CLASSES, TRAIN, TEST = 1000, 1_281_167, 50_000  # arXiv:1409.0575, table 2; its `val` is the test set
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as for torchvision's models


def source(config: DataConfig) -> DatasetSource:
    return DatasetSource("folder", config.root / NAME)


def find_imagenet(image_size: Size | None, config: DataConfig) -> DatasetSpec:
    """Return ImageNet from the data root with the usual normalisation, pinned by its content at this size.

    Raises:
        InputError: if it is missing or incomplete.
    """
    path = source(config).path
    if not file_exists(path):
        raise InputError(
            f"data set '{NAME}' is not in {config.root}: put your folder of it there, or a link to it, "
            f"as {path} with train/ and val/"
        )
    spec = find_spec(source(config), image_size or SIZE, config)
    counts = (spec.num_classes, spec.num_train, spec.num_test)
    if counts != (CLASSES, TRAIN, TEST):
        counted = "{:,} classes, {:,} training and {:,} test images"
        raise InputError(f"{path}: {counted.format(*counts)}; expected {counted.format(CLASSES, TRAIN, TEST)}")
    return dataclasses.replace(spec, name=NAME, mean=MEAN, std=STD)
