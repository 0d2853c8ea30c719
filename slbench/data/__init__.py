"""Data sets by name. Free of torch and numpy."""

import dataclasses
from typing import TYPE_CHECKING

from slbench.data import imagenet
from slbench.data.own_dataset import as_source, find_spec, index_file, load_own
from slbench.data.paths import exclusive_lock
from slbench.data.published import (
    CIFAR10,
    CIFAR100,
    FASHION_MNIST,
    SVHN,
    SVHN_COUNTS,
    TINY_IMAGENET,
    Archive,
    published,
)
from slbench.data.published_cache import check_present, function_of, load_published
from slbench.data.specs import ARRAYS, DatasetSpec
from slbench.errors import InputError
from slbench.names import suggestion

if TYPE_CHECKING:
    from slbench.data.splits import Splits


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """Entry of the table of data sets."""

    spec: DatasetSpec
    loader: str  # "module:function", called with the paths of the archives
    source: str
    archives: tuple[Archive, ...] = ()  # downloads; none for the bundled set


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
        "slbench.data.bundled:load_fashion_mnist_12k",
        "Fashion-MNIST (arXiv:1708.07747), a stratified subset that ships with slbench, padded to 32 px",
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
        "slbench.data.cifar:load_cifar10",
        "CIFAR-10 (Krizhevsky 2009)",
        (CIFAR10,),
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
        "slbench.data.cifar:load_cifar100",
        "CIFAR-100 (Krizhevsky 2009), its 100 fine classes",
        (CIFAR100,),
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
        "slbench.data.svhn:load_svhn",
        "Street View House Numbers, cropped digits (Netzer et al. 2011), without its `extra` split",
        SVHN,
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
        "slbench.data.tiny_imagenet:load_tiny_imagenet",
        "Tiny-ImageNet (Stanford CS231n); its labelled `val` is the test set, as in the paper",
        (TINY_IMAGENET,),
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
        "slbench.data.fashion_mnist:load_fashion_mnist",
        "Fashion-MNIST (arXiv:1708.07747), padded from 28 to 32 px",
        FASHION_MNIST,
    ),
}


@dataclasses.dataclass(frozen=True)
class ResolvedDataset:
    """Data set that a name resolves to."""

    spec: DatasetSpec
    label: str  # as tables print it
    source: str  # of a user's own data: "npz:/absolute/path"; empty for a named set


def find(name: str, *, image_size: tuple[int, int] | None = None) -> ResolvedDataset:
    """Resolve a name: one of DATASETS, `imagenet`, `npz:PATH` or `folder:PATH`.

    A named set need not be on this machine; a user's own is read the first time.

    Args:
        image_size: (height, width) to which a user's images of different sizes are resized.
    Raises:
        InputError: for an unknown name or invalid data.
    """
    source = as_source(name)
    if source is not None:
        return ResolvedDataset(find_spec(source, image_size), source.path.stem or source.kind, str(source))
    if name == imagenet.NAME:
        return ResolvedDataset(imagenet.find_imagenet(image_size), name, str(imagenet.source()))
    if name not in DATASETS:
        raise InputError(
            f"unknown data set '{name}'{suggestion(name, [*DATASETS, imagenet.NAME])}, npz:PATH, folder:PATH"
        )
    return ResolvedDataset(DATASETS[name].spec, name, "")


def load(spec: DatasetSpec, source: str = "") -> "Splits":
    """Return the images and labels of a data set in canonical order at the spec's size, in memory or on the disk.

    Args:
        source: as returned by `find`.
    Raises:
        InputError: if the data do not match the hash of the spec.
    """
    from slbench.data.index_cache import at_size
    from slbench.data.own_split import resized, use_lazy_images
    from slbench.data.splits import check_content, content_hash

    user_source = as_source(source)
    splits = load_named(spec) if user_source is None else load_own(spec, user_source)
    if user_source is not None and splits.statistics is not None:
        return splits  # of the spec's size: checked when indexed, then image by image
    check_content(splits, spec)
    if splits.train.images.shape[2:] == spec.image_size:
        return splits
    if splits.lazy or use_lazy_images(spec.num_bytes):
        content = content_hash(splits)
        note = index_file(content, "arrays", spec.image_size)
        with exclusive_lock(note):
            return at_size(splits, spec.image_size, note, files=content)
    return resized(splits, spec.image_size)


def load_named(spec: DatasetSpec) -> "Splits":
    """Return the images of one of DATASETS at their published size."""
    entry = DATASETS[spec.name]
    if not entry.archives:
        embedded: Splits = function_of(entry.loader)()
        return embedded
    return load_published(dataclasses.replace(spec, image_size=entry.spec.image_size), entry.archives, entry.loader)


def check_available(spec: DatasetSpec) -> None:
    """Raise InputError with the download command if a data set is not on this machine. Reads nothing."""
    if spec.name in DATASETS:
        check_present(spec.name, DATASETS[spec.name].archives)


def is_available(spec: DatasetSpec) -> bool:
    """Return whether a data set is on this machine."""
    try:
        check_available(spec)
    except InputError:
        return False
    return True
