"""A loss, an optimizer and a schedule that the package does not have train without an edit of the loop."""

import dataclasses

import torch
from torch import nn

from slbench.backbones.attention_layer import AttentionLayer
from slbench.backbones.layers import Backbone
from slbench.data.batches import Batch, Batches
from slbench.data.subset import subset
from slbench.train.loop import Training
from slbench.train.parts import TrainingParts, make_parts
from tests.train.helpers import RECIPE, load_less, tiny

SPEC = tiny(recipe=dataclasses.replace(RECIPE, label_smoothing=0.25, ema_decay=0.5))  # two epochs of nine steps


def sum_of_mean_logits(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return a loss whose gradient is 1 for each bias of the last layer, whatever the images."""
    assert len(logits) == len(batch.labels)
    return logits.mean(0).sum()


class OneLayer(Backbone):
    """A linear map of all pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1024, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(images.flatten(1))
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return ()


def training_with(network: Backbone, parts: TrainingParts) -> Training:
    images, _, test = load_less(SPEC.dataset).for_protocol("holdout")
    cpu = torch.device("cpu")
    batches = Batches(subset(images, SPEC.dataset, seed=0), SPEC.dataset, device=cpu)
    return Training(
        SPEC,
        network,
        parts=parts,
        training=batches,
        validation=None,
        test=Batches(test, SPEC.dataset, device=cpu),
        device=cpu,
        precision="fp32",
    )


def test_the_loop_trains_with_any_loss_optimizer_and_schedule_also_when_resumed() -> None:
    network = OneLayer()
    bias = network.get_parameter("head.bias")
    nn.init.zeros_(bias)
    parts = TrainingParts(
        loss=sum_of_mean_logits,
        optimizer=torch.optim.SGD(network.parameters(), lr=9.0),
        schedule=lambda step: 2.0**-step,
    )
    training = training_with(network, parts)
    metrics = next(training.epochs())
    assert metrics.lr == 2.0**-8
    assert torch.allclose(bias, torch.full((10,), -(2 - 2.0**-8)))  # minus the sum of nine rates
    resumed = training_with(network, parts)
    resumed.restore(training.state())
    (last,) = resumed.epochs()
    assert last.lr == 2.0**-17, "the schedule counts steps over the whole run"
    assert torch.allclose(bias, torch.full((10,), -(2 - 2.0**-17)))


def test_a_recipe_chooses_the_parts() -> None:
    network = SPEC.build_network()
    parts = make_parts(SPEC, network)
    assert parts.averaged is not None
    assert make_parts(tiny(), network).averaged is None
    assert parts.schedule(0) == RECIPE.warmup_lr
    logits = torch.tensor([[0.0, 0.0, torch.log(torch.tensor(2.0))]])  # probabilities 1/4, 1/4, 1/2
    batch = Batch(torch.zeros(1, 1, 2, 2), torch.tensor([2]), torch.tensor([0]), share=0.5)
    smooth = (2 * torch.log(torch.tensor(4.0)) + torch.log(torch.tensor(2.0))) / 3  # against the uniform target
    own, partner = torch.log(torch.tensor(2.0)), torch.log(torch.tensor(4.0))
    expected = 0.5 * (0.75 * own + 0.25 * smooth) + 0.5 * (0.75 * partner + 0.25 * smooth)
    assert torch.allclose(parts.loss(logits, batch), expected)
