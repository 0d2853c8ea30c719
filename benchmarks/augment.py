"""Speed of augmented batches: torchvision image by image against slbench; from the disk; within training.

Both interleaved in one process, on one core, at 32 px, with the paper's whole list: flip, padded crop, AutoAugment,
normalise, random erasing, CutMix or Mixup. Prints images/s and ratios; nothing here is a test.
"""

import dataclasses
import itertools
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

from slbench import machine
from slbench.backbones import default_spec
from slbench.data import DATASETS, DataConfig, find, load
from slbench.data.batches import Batch, Batches
from slbench.data.splits import ImageSet
from slbench.image_shape import ImageShape
from slbench.measure.network import Network
from slbench.measure.throughput import interleaved, make_pass
from slbench.measure.throughput_keys import Timing
from slbench.methods import METHODS
from slbench.recipes import RECIPES
from slbench.torch_runtime import reproducible

BATCH, IMAGES = 128, 8192
ROUNDS = 15
EPOCH, EPOCHS = 1280, 9  # images per epoch, epochs timed
SPEC = DATASETS["cifar10"].spec
RECIPE = dataclasses.replace(RECIPES["released"].resolved(dataset_policy="cifar10"), batch_size=BATCH, passes=1)


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Return images (n h w c) of smooth noise, and labels."""
    numbers = np.random.default_rng(0)
    coarse = numbers.integers(0, 256, (IMAGES, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2), numbers.integers(0, 10, IMAGES)


def torchvision_batches(images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches endlessly, by torchvision on Pillow images, mixed by its CutMix and MixUp."""
    pipeline = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomCrop(32, padding=4),
            transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10),
            transforms.ToTensor(),
            transforms.Normalize(SPEC.mean, SPEC.std),
            transforms.RandomErasing(p=0.25, scale=(0.02, 0.4), ratio=(0.3, 3.3), value=SPEC.mean),
        ]
    )
    cutmix, mixup = v2.CutMix(num_classes=10), v2.MixUp(num_classes=10)
    opened = [Image.fromarray(image) for image in images]
    targets = torch.from_numpy(labels)
    while True:
        order = torch.randperm(IMAGES)
        for start in range(0, IMAGES, BATCH):
            rows = order[start : start + BATCH]
            batch = torch.stack([pipeline(opened[row]) for row in rows.tolist()])
            chance = torch.rand(()).item()
            mix = cutmix if chance < 0.25 else mixup if chance < 0.5 else None
            yield mix(batch, targets[rows]) if mix else (batch, targets[rows])


def in_memory(images: np.ndarray, labels: np.ndarray) -> ImageSet:
    return ImageSet.of(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels)


def our_batches(part: ImageSet) -> Iterator[Batch]:
    """Yield batches endlessly, by slbench."""
    batches, epoch = Batches(part, SPEC, device=torch.device("cpu")), 0
    while True:
        epoch += 1
        yield from batches.training(RECIPE, seed=0, epoch=epoch)


def drawn(batches: Iterator[object], count: int) -> Callable[[], None]:
    def draw() -> None:
        for _ in range(count):
            next(batches)

    return draw


def preparing() -> None:
    """Print images/s of both pipelines and their ratio per round."""
    images, labels = pictures()
    passes = {
        "torchvision": drawn(torchvision_batches(images, labels), 4),
        "slbench": drawn(our_batches(in_memory(images, labels)), 4),
    }
    timing = Timing(name="augment", warmup=1, rounds=ROUNDS, passes=1, seconds=0.0)
    speeds = interleaved(passes, images=4 * BATCH, timing=timing, wait=lambda: None)
    for name, values in speeds.items():
        print(f"{name:<12} {spread(values)} images/s")
    ratios = [ours / theirs for ours, theirs in zip(speeds["slbench"], speeds["torchvision"], strict=True)]
    print(f"{'ratio':<12} {spread(ratios, digits=2)}")


def from_disk(root: Path) -> ImageSet:
    """Return the same images streamed from the prepared cache of an npz file."""
    images, labels = pictures()
    arrays = {"train_images": images, "train_labels": labels, "test_images": images[:100], "test_labels": labels[:100]}
    np.savez(root / "plain.npz", **arrays)  # type: ignore[arg-type]
    config = DataConfig(root / "data", stream=True)
    found = find(f"npz:{root / 'plain.npz'}", config=config)
    return load(found.spec, found.source, config).train


def streaming() -> None:
    """Print images/s of batches from memory and from the disk (probably its cache) and their ratio per round."""
    with tempfile.TemporaryDirectory() as root:
        parts = {"memory": in_memory(*pictures()), "disk": from_disk(Path(root))}
        timing = Timing(name="augment", warmup=1, rounds=ROUNDS, passes=1, seconds=0.0)
        passes = {name: drawn(our_batches(part), 4) for name, part in parts.items()}
        speeds = interleaved(passes, images=4 * BATCH, timing=timing, wait=lambda: None)
    for name, values in speeds.items():
        ratios = [one / memory for one, memory in zip(values, speeds["memory"], strict=True)]
        print(f"{name:<12} {spread(values)} images/s, ratio {spread(ratios, digits=2)}")


def training() -> None:
    """Compare epochs of the paper's ViT on data with as many steps on one repeated batch."""
    network = Network.resolve(default_spec("vit"), METHODS["none"], shape=ImageShape((32, 32), 3, 10))
    step = make_pass(network, "train", batch_size=BATCH, device=torch.device("cpu"), precision="fp32")
    part = in_memory(*pictures()).take(np.arange(EPOCH))
    batches, epochs = Batches(part, SPEC, device=torch.device("cpu")), itertools.count(1)

    def bare() -> None:
        for _ in range(EPOCH // BATCH):
            step()

    def with_data() -> None:
        for _ in batches.training(RECIPE, seed=0, epoch=next(epochs)):
            step()

    timing = Timing(name="augment", warmup=1, rounds=EPOCHS, passes=1, seconds=0.0)
    speeds = interleaved({"bare": bare, "with data": with_data}, images=EPOCH, timing=timing, wait=lambda: None)
    for name, values in speeds.items():
        print(f"{name:<12} {spread(values)} images/s")
    shares = [both / bare for both, bare in zip(speeds["with data"], speeds["bare"], strict=True)]
    print(f"{'share':<12} {spread(shares, digits=3)}")


def spread(values: list[float], *, digits: int = 0) -> str:
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f}, n = {len(values)})"


if __name__ == "__main__":
    host = machine.host()
    versions = f"python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}"
    print(f"{host.cpu}, one thread; {versions}; medians (quartiles) of rounds in turns")
    with reproducible(1):
        print("\nbatches of 128 at 32 px, the paper's augmentation")
        preparing()
        print("\nthe same batches from memory and from the disk")
        streaming()
        print(f"\nwhole epochs of {EPOCH:,} images, the paper's ViT at 32 px, batch 128, fp32")
        training()
    sys.stdout.flush()
