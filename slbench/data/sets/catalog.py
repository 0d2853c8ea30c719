"""Table of data sets: sizes, normalisation, AutoAugment policy, loader and archives. Free of torch and numpy."""

import dataclasses
from typing import Literal

from slbench.data.sets.published import (
    CIFAR10,
    CIFAR100,
    FASHION_MNIST,
    SVHN,
    SVHN_COUNTS,
    TINY_IMAGENET,
    Archive,
    published,
)
from slbench.data.specs import ARRAYS, DatasetSpec


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """Entry of the table of data sets."""

    spec: DatasetSpec
    loader: str  # "module:function", called with the paths of the archives; yields a `Sample` per image
    source: str
    _: dataclasses.KW_ONLY
    auto_augment: Literal["cifar10", "svhn", "imagenet"]  # policy of recipes with auto_augment "dataset"
    archives: tuple[Archive, ...] = ()  # downloads; none for the bundled set and subsets
    subset_of: str = ""  # name of the set whose images the list NAME.images.json beside this file chooses
    sizes_differ: bool = False  # images of different sizes, brought to dataset.image_size; that of `spec` is unused

    @property
    def is_bundled(self) -> bool:
        """Whether the images are in the package."""
        return not (self.archives or self.subset_of)


DEFAULT_DATASET = "fashion-mnist-12k"

DATASETS: dict[str, DatasetEntry] = {
    "fashion-mnist-12k": DatasetEntry(
        DatasetSpec(
            name="fashion-mnist-12k",
            content=ARRAYS + "a082ceae9d48484c7f8182a158ab10457e8490c554cd7b6825083ebb09d48160",
            image_size=(32, 32),
            in_channels=1,
            num_classes=10,
            train_counts=1_000,
            validation_counts=100,
            num_test=2_000,
            mean=(0.21924,),
            std=(0.33242,),
        ),
        "slbench.data.sets.bundled:load_fashion_mnist_12k",
        "Fashion-MNIST (arXiv:1708.07747), a stratified subset that ships with slbench, padded to 32 px",
        auto_augment="imagenet",
    ),
    # Sizes, and mean and standard deviation of the paper's four sets: the paper's released code
    # (github.com/aanna0701/SPT_LSA_ViT), which takes the `train` split of SVHN alone.
    "cifar10": DatasetEntry(
        published(
            "cifar10",
            CIFAR10,
            image_size=32,
            num_classes=10,
            train_counts=5_000,
            num_test=10_000,
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2470, 0.2435, 0.2616),
        ),
        "slbench.data.sets.cifar:load_cifar10",
        "CIFAR-10 (Krizhevsky 2009)",
        auto_augment="cifar10",
        archives=(CIFAR10,),
    ),
    "cifar100": DatasetEntry(
        published(
            "cifar100",
            CIFAR100,
            image_size=32,
            num_classes=100,
            train_counts=500,
            num_test=10_000,
            mean=(0.5070, 0.4865, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
        ),
        "slbench.data.sets.cifar:load_cifar100",
        "CIFAR-100 (Krizhevsky 2009), its 100 fine classes",
        auto_augment="cifar10",
        archives=(CIFAR100,),
    ),
    "svhn": DatasetEntry(
        published(
            "svhn",
            *SVHN,
            image_size=32,
            num_classes=10,
            train_counts=SVHN_COUNTS,
            num_test=26_032,
            mean=(0.4377, 0.4438, 0.4728),
            std=(0.1980, 0.2010, 0.1970),
        ),
        "slbench.data.sets.svhn:load_svhn",
        "Street View House Numbers, cropped digits (Netzer et al. 2011), without its `extra` split",
        auto_augment="svhn",
        archives=SVHN,
    ),
    "tiny-imagenet": DatasetEntry(
        published(
            "tiny-imagenet",
            TINY_IMAGENET,
            image_size=64,
            num_classes=200,
            train_counts=500,
            num_test=10_000,
            mean=(0.4802, 0.4481, 0.3975),
            std=(0.2770, 0.2691, 0.2821),
        ),
        "slbench.data.sets.tiny_imagenet:load_tiny_imagenet",
        "Tiny-ImageNet (Stanford CS231n); its labelled `val` is the test set, as in the paper",
        auto_augment="imagenet",
        archives=(TINY_IMAGENET,),
    ),
    "fashion-mnist": DatasetEntry(
        published(
            "fashion-mnist",
            *FASHION_MNIST,
            image_size=32,
            in_channels=1,
            num_classes=10,
            train_counts=6_000,
            num_test=10_000,
            # The usual 0.2860 and 0.3530 at 28 px; with 2 px of zeros around the image:
            # 0.2860 r and sqrt((0.3530^2 + 0.2860^2) r - (0.2860 r)^2), where r = (28 / 32)^2.
            mean=(0.2190,),
            std=(0.3318,),
        ),
        "slbench.data.sets.fashion_mnist:load_fashion_mnist",
        "Fashion-MNIST (arXiv:1708.07747), padded from 28 to 32 px",
        auto_augment="imagenet",
        archives=FASHION_MNIST,
    ),
    # Subsets that the reference studies use; see `image_list`.
    "cifar10-12k": DatasetEntry(
        DatasetSpec(
            name="cifar10-12k",
            content=ARRAYS + "2fe49aaa62980eb128a177470bd3671bab7a8ca1d885b377d503c1b4660560b6",
            image_size=(32, 32),
            in_channels=3,
            num_classes=10,
            train_counts=1_000,
            validation_counts=100,
            num_test=2_000,
            mean=(0.4914, 0.4822, 0.4465),  # of CIFAR-10
            std=(0.2470, 0.2435, 0.2616),
        ),
        "slbench.data.sets.image_list:load_subset",
        "CIFAR-10 (Krizhevsky 2009), a stratified subset of 10,000 training and 2,000 test images",
        auto_augment="cifar10",
        subset_of="cifar10",
    ),
    "fashion-mnist-10k": DatasetEntry(
        DatasetSpec(
            name="fashion-mnist-10k",
            content=ARRAYS + "b9452907d23d13c3256929d3e71ae14361b73692ccf7cc483a1379aa72ab2c9d",
            image_size=(32, 32),
            in_channels=1,
            num_classes=10,
            train_counts=1_000,
            validation_counts=100,
            num_test=10_000,
            mean=(0.21924,),
            std=(0.33242,),
        ),
        "slbench.data.sets.image_list:load_subset",
        "Fashion-MNIST (arXiv:1708.07747): the training images of fashion-mnist-12k, all test images, padded to 32 px",
        auto_augment="imagenet",
        subset_of="fashion-mnist",
    ),
}


def auto_augment_policy(name: str) -> Literal["cifar10", "svhn", "imagenet"]:
    """Return the AutoAugment policy published for a data set, that of ImageNet for `imagenet` and a user's own."""
    return DATASETS[name].auto_augment if name in DATASETS else "imagenet"
