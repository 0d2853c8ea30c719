"""Training loop."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from slbench.backbones.layers import Backbone
from slbench.data.batches import Batch, Batches
from slbench.errors import DivergedError
from slbench.history import EpochMetrics
from slbench.methods.lsa import set_mask_share
from slbench.rng import derive
from slbench.spec import RunSpec
from slbench.torch_runtime import autocast, seed_forward
from slbench.train.parts import TrainingParts
from slbench.train.progress import Progress
from slbench.train.temperatures import TemperatureHistory

EVALUATION_BATCH = 500  # images


class Training:
    """Training of one run, epoch by epoch, from its start or from a restored state.

    Args:
        spec: supplies the seed, the number of epochs and how batches are made.
        parts: loss, optimizer, schedule and weight average of this network; see `slbench.train.parts`.
        precision: "bf16" or "fp32".
        validation: None under protocols without a validation split.
        on_progress: called after steps, at most twice a second, and at the end of each epoch.
        on_step: called after every step except the last of an epoch; may call `state`.
    """

    def __init__(
        self,
        spec: RunSpec,
        network: Backbone,
        *,
        parts: TrainingParts,
        training: Batches,
        validation: Batches | None,
        test: Batches,
        device: torch.device,
        precision: str,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = spec
        self.network = network
        self.forward: Callable[[Tensor], Tensor] = network  # of training steps; see slbench.train.compiled
        self.training, self.validation, self.test = training, validation, test
        self.device, self.precision = device, precision
        self.on_progress, self.on_step = on_progress, on_step
        self.loss, self.optimizer = parts.loss, parts.optimizer
        self.schedule, self.averaged = parts.schedule, parts.averaged
        self.steps_per_epoch = spec.steps_per_epoch
        self.history: list[EpochMetrics] = []
        self.temperatures = TemperatureHistory(self.evaluated)
        self.test_logits: Tensor | None = None  # (n k) of the present weights, if they have been evaluated
        self.done = 0  # steps of the current epoch
        self.total = self._zero()  # sum of their losses
        self.seconds = 0.0  # their duration
        self._unchecked: list[tuple[int, float, Tensor]] = []  # (step, learning rate, loss) not yet checked
        self._reported = 0.0

    @property
    def evaluated(self) -> Backbone:
        """The network that is evaluated and saved: the averaged one if the recipe has an average."""
        return self.network if self.averaged is None else cast("Backbone", self.averaged.module)

    @property
    def epoch(self) -> int:
        """The current epoch, counted from 1."""
        return len(self.history) + 1

    def state(self) -> dict[str, Any]:
        """Return the state from which `restore` resumes exactly; random draws are derived from seed, epoch and step.

        Raises:
            DivergedError: if a loss since the last check was not finite.
        """
        self._check()
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "history": [dataclasses.asdict(metrics) for metrics in self.history],
            "temperatures": self.temperatures.state(),
            "done": self.done,
            "total": self.total,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state of the same run."""
        self.test_logits = None
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.history = [EpochMetrics(**metrics) for metrics in state["history"]]
        self.temperatures.restore(state.get("temperatures"))
        self.done, self.seconds = state["done"], state["seconds"]
        self.total = state["total"].to(self.device)

    def epochs(self) -> Iterator[EpochMetrics]:
        """Train; yield the metrics of each epoch.

        Raises:
            DivergedError: if a loss is not finite, of a step (with its learning rate) or of an evaluation.
        """
        while self.epoch <= self.spec.recipe.epochs:
            lr = self._train_epoch(self.epoch)
            validated = None if self.validation is None else self.evaluate(self.validation)
            tested = self.evaluate(self.test)
            self._check_evaluation({"validation": validated, "test": tested})
            metrics = EpochMetrics(
                epoch=self.epoch,
                lr=lr,
                train_loss=self.total.item() / self.steps_per_epoch,
                val_loss=validated.loss if validated else None,
                val_top1=validated.top1 if validated else None,
                test_loss=tested.loss,
                test_top1=tested.top1,
                test_top5=tested.top5,
                scales_below_zero=count_below_zero(self.evaluated),
                train_seconds=self.seconds,
            )
            self.temperatures.add(self.epoch)
            self.history.append(metrics)
            self.done, self.total, self.seconds = 0, self._zero(), 0.0
            yield metrics

    def _zero(self) -> Float[Tensor, ""]:
        return torch.zeros((), device=self.device, dtype=torch.float64 if self.device.type != "mps" else torch.float32)

    def _train_epoch(self, epoch: int) -> float:
        """Train the rest of an epoch; return the learning rate of its last step."""
        self.test_logits = None
        self.network.train()
        recipe, lr = self.spec.recipe, 0.0
        batches = self.training.training(
            recipe,
            seed=self.spec.seed,
            epoch=epoch,
            first=self.done * recipe.accumulate,
            images=self.spec.epoch_images,
        )
        began, before = time.perf_counter(), self.seconds
        for step in range(self.done, self.steps_per_epoch):
            number = (epoch - 1) * self.steps_per_epoch + step
            lr = self.schedule(number)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self._blend_mask(number)
            loss = self._step(list(islice(batches, recipe.accumulate)), epoch=epoch, first=step * recipe.accumulate)
            self.total += loss
            self.done = step + 1
            self.seconds = before + time.perf_counter() - began
            self._unchecked.append((number, lr, loss))
            self._report(epoch, loss)
            if self.done < self.steps_per_epoch:
                self.on_step()
        self._check()
        return lr

    def _blend_mask(self, step: int) -> None:
        """Set the share of LSA's mask for a step, where the method blends it in: 1 from the end of `mask_warmup`."""
        if warmup := self.spec.method.mask_warmup * self.steps_per_epoch:
            for network in {self.network, self.evaluated}:
                set_mask_share(network, min(1.0, (step + 1) / warmup))

    def _check(self) -> None:
        """Raise DivergedError if a loss since the last check was not finite. Waits for the device."""
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked or torch.stack([loss for _, _, loss in unchecked]).isfinite().all():
            return
        step, lr, loss = next(entry for entry in unchecked if not entry[2].isfinite())
        raise DivergedError(
            f"the loss is {loss.item()} in step {step % self.steps_per_epoch + 1} of epoch {self.epoch}, "
            f"at a learning rate of {lr:.3g}: try a smaller recipe.lr"
        )

    def _check_evaluation(self, evaluations: "Mapping[str, Evaluation | None]") -> None:
        """Raise DivergedError if the loss of an evaluation is not finite; accuracies are then those of guessing."""
        for name, evaluation in evaluations.items():
            if evaluation is not None and not math.isfinite(evaluation.loss):
                raise DivergedError(
                    f"the {name} loss is {evaluation.loss} after epoch {self.epoch}: try a smaller recipe.lr"
                )

    def _step(self, batches: list[Batch], *, epoch: int, first: int) -> Float[Tensor, ""]:
        """Make one optimizer step on the mean gradient of some batches; return their mean loss.

        Args:
            first: number of the first batch in the epoch.
        """
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        for number, batch in enumerate(batches, start=first):
            seed_forward(self.device, derive(self.spec.seed, epoch, number, "forward"))
            loss = self._loss(batch) / len(batches)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        if self.spec.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.spec.recipe.clip_norm)
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)
        return total

    def _loss(self, batch: Batch) -> Float[Tensor, ""]:
        with autocast(self.device, self.precision):
            logits = self.forward(batch.images)
        return self.loss(logits.float(), batch)

    def _report(self, epoch: int, loss: Tensor) -> None:
        now = time.perf_counter()
        if now - self._reported < 0.5 and self.done != self.steps_per_epoch:
            return
        self._reported = now
        self._check()
        last = self.history[-1] if self.history else None
        self.on_progress(
            Progress(
                epoch=epoch,
                epochs=self.spec.recipe.epochs,
                step=(epoch - 1) * self.steps_per_epoch + self.done,
                steps=self.spec.recipe.epochs * self.steps_per_epoch,
                loss=loss.item(),
                val_top1=last.val_top1 if last else None,
                test_top1=last.test_top1 if last else None,
                images_per_second=self.done * self.spec.samples_per_epoch / self.steps_per_epoch / self.seconds,
            )
        )

    def logits(self, batches: Batches) -> Float[Tensor, "n k"]:
        """Return float32 logits of every image, in order, without stochastic depth."""
        network = self.evaluated.eval()
        with torch.no_grad(), autocast(self.device, self.precision):
            return torch.cat([network(images).float() for images, _ in batches.in_order(EVALUATION_BATCH)])

    def evaluate(self, batches: Batches) -> "Evaluation":
        logits = self.logits(batches)
        if batches is self.test:
            self.test_logits = logits
        return Evaluation.of(logits, batches.labels)

    def test_outputs(self) -> Float[Tensor, "n k"]:
        """Return the logits of the test images, computed again only if the weights were not evaluated yet."""
        return self.logits(self.test) if self.test_logits is None else self.test_logits


def count_below_zero(network: Backbone) -> int:
    """Return the number of negative learned temperatures of a network."""
    scales = [layer.logits.scale for layer in network.attention_layers()]
    return sum(int((scale < 0).sum()) for scale in scales if scale is not None)


@dataclass(frozen=True)
class Evaluation:
    """Cross entropy per image, and top-1 and top-5 accuracy in percent."""

    loss: float
    top1: float
    top5: float  # 100 for five or fewer classes

    @classmethod
    def of(cls, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> "Evaluation":
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
        return cls(
            loss=F.cross_entropy(logits, labels).item(),
            top1=100 * best[:, 0].sum().item() / len(labels),
            top5=100 * best.sum().item() / len(labels),
        )
