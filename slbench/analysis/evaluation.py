"""Accuracy of the kept weights of a run on other data than its own."""

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from slbench.analysis.load import load_network
from slbench.analysis.run_selection import FinishedRun, Split
from slbench.data import DataConfig, ResolvedDataset, check_available, class_names, find, load
from slbench.data.batches import Batches
from slbench.data.specs import DatasetSpec
from slbench.data.splits import ImageSet
from slbench.errors import InputError
from slbench.stats.intervals import wilson
from slbench.text import choices, plural, shown
from slbench.torch_runtime import autocast, reproducible
from slbench.train.loop import EVALUATION_BATCH, Evaluation


@dataclass(frozen=True)
class DatasetResult:
    """Result of a network on a split of a data set. Accuracies in percent."""

    run_id: str
    model: str  # title in tables
    seed: int
    trained_on: str
    epoch: str  # of the weights
    dataset: str
    split: Split
    images: int
    top1: float
    low: float  # of the 95 % interval of top1 over images (Wilson); it says nothing of other seeds
    high: float
    top5: float
    loss: float  # cross entropy per image, without label smoothing
    class_top1: dict[str, float]  # by class with images
    notes: tuple[str, ...]


def evaluate(
    run: FinishedRun,
    name: str,
    *,
    split: Split,
    data: DataConfig | None = None,
    device: torch.device,
    threads: int = 1,
) -> DatasetResult:
    """Test the kept weights of a run on a split of a data set, normalised as the run's own images.

    Images are resized to the network's size. On the run's own test images and the same processor the result is that of
    its record. Classes are matched by name where both sides have names, else by number.

    Args:
        name: of a data set, npz:PATH or folder:PATH.
    Raises:
        InputError: for unknown data, other channels, classes that the network lacks, a split that the data lack, or
            unusable weights.
    """
    record = run.record
    own, found = record.spec.dataset, resolved(name, record.spec.dataset, data)
    numbers, names, notes = class_numbers(found, own, record.labels.data, data)
    part = image_set(found, split, data)
    spec = dataclasses.replace(found.spec, mean=own.mean, std=own.std)
    if found.spec.content == own.content:
        notes += (
            f"these are the run's own data{'' if split == 'test' else ', of which it has seen the training images'}",
        )
    network = load_network(run, device=device)
    batches = Batches(part, spec, device=device)
    with reproducible(threads), torch.no_grad(), autocast(device, record.precision):
        logits = torch.cat([network(images).float() for images, _ in batches.in_order(EVALUATION_BATCH)])
    labels = torch.tensor(numbers, device=device)[batches.labels]
    result = Evaluation.of(logits, labels)
    right = logits.argmax(dim=1) == labels
    low, high = wilson(int(right.sum()), len(labels))
    return DatasetResult(
        run_id=record.run_id,
        model=run.model,
        seed=record.spec.seed,
        trained_on=record.labels.dataset,
        epoch=run.epoch,
        dataset=found.label,
        split=split,
        images=len(labels),
        top1=result.top1,
        low=100 * low,
        high=100 * high,
        top5=result.top5,
        loss=F.cross_entropy(logits, labels).item(),
        class_top1={
            names[number]: 100 * right[labels == number].float().mean().item()
            for number in sorted(set(labels.tolist()))
        },
        notes=notes,
    )


def resolved(name: str, own: DatasetSpec, data: DataConfig | None) -> ResolvedDataset:
    """Return a data set at the size of a network's images. Raises InputError for other channels."""
    found = find(name, image_size=own.image_size, config=data)
    if found.spec.in_channels != own.in_channels:
        channels = plural(found.spec.in_channels, "channel")
        raise InputError(
            f"--dataset: '{name}' has {channels}, the network needs {own.in_channels}; convert the images first"
        )
    return dataclasses.replace(found, spec=dataclasses.replace(found.spec, image_size=own.image_size))


def class_numbers(
    found: ResolvedDataset, own: DatasetSpec, own_source: str, data: DataConfig | None
) -> tuple[list[int], list[str], tuple[str, ...]]:
    """Return the network's class of each class of a data set, names of the network's classes, and notes.

    Raises:
        InputError: for classes that the network lacks.
    """
    config = data or DataConfig.read()
    theirs, ours = class_names(found.spec, found.source, config), class_names(own, own_source, config)
    numbered = [str(number) for number in range(own.num_classes)]
    if theirs is None or ours is None:
        if found.spec.num_classes > own.num_classes:
            raise InputError(
                f"--dataset: '{found.label}' has more classes than the network (got {found.spec.num_classes}); "
                f"allowed: at most {own.num_classes}"
            )
        notes = (
            ("classes are matched by number, as one side has no names",) if found.spec.content != own.content else ()
        )
        return list(range(found.spec.num_classes)), list(ours or numbered), notes
    unknown = [name for name in theirs if name not in ours]
    if unknown:
        raise InputError(
            f"--dataset: '{found.label}' has classes that the network lacks (got {shown(unknown[:5])})"
            f"{choices(ours, unknown[0])}"
        )
    return [ours.index(name) for name in theirs], list(ours), ()


def image_set(found: ResolvedDataset, split: Split, data: DataConfig | None) -> ImageSet:
    """Return the images of a split, as protocol holdout makes it. Raises InputError if the data are not here."""
    if not found.source:
        check_available(found.spec, data)
    training, validation, test = load(found.spec, found.source, data).for_protocol("holdout")
    assert validation is not None, "of protocol holdout"
    parts: dict[Split, ImageSet] = {"train": training, "val": validation, "test": test}
    return parts[split]
