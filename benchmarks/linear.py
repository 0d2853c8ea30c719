"""Accuracy of a linear classifier on the pixels of a data set, a floor for what its images allow.

    python -m benchmarks.linear fashion-mnist-10k cifar10-12k

Softmax regression by L-BFGS on the training images, pixels from 0 to 1 less their mean, without augmentation; the
penalty on squared weights is the one with the best validation accuracy. It is deterministic for one thread.
"""

import sys

import torch
from torch.nn import functional

from slbench import data
from slbench.data.splits import ImageSet

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
STEPS = 200  # of L-BFGS, at most
Pixels = tuple[torch.Tensor, torch.Tensor]  # (N, C * H * W) fp32, (N,) int64


def pixels(images: ImageSet) -> Pixels:
    """Return pixels from 0 to 1 and labels."""
    return torch.from_numpy(images.array).flatten(1) / 255, torch.from_numpy(images.labels).long()


def fit(train: Pixels, penalty: float, classes: int) -> torch.nn.Linear:
    """Return the classifier with the least cross entropy plus half the penalty times the squared weights."""
    inputs, labels = train
    model = torch.nn.Linear(inputs.shape[1], classes)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(model(inputs), labels) + penalty / 2 * model.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return model


def accuracy(model: torch.nn.Linear, part: Pixels) -> float:
    """Return the accuracy in %."""
    inputs, labels = part
    with torch.inference_mode():
        return 100 * float((model(inputs).argmax(1) == labels).double().mean())


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    for name in names:
        spec = data.find(name).spec
        train, validation, test = (pixels(part) for part in data.load(spec).for_protocol("holdout") if part is not None)
        for inputs, _ in (test, validation, train):
            inputs -= train[0].mean(0)
        models = [fit(train, penalty, spec.num_classes) for penalty in PENALTIES]
        best = max(models, key=lambda model: accuracy(model, validation))
        print(
            f"{name}: {accuracy(best, test):.2f} % of {len(test[1]):,} test images, "
            f"{accuracy(best, validation):.2f} % of {len(validation[1]):,} validation images, "
            f"{accuracy(best, train):.2f} % of {len(train[1]):,} training images; "
            f"penalty {PENALTIES[models.index(best)]}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
