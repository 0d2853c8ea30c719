"""Losses of training."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from slbench.data.batches import Batch

# float32 logits and their batch -> scalar to minimize
Loss = Callable[[Float[Tensor, "b k"], Batch], Float[Tensor, ""]]


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross entropy of a batch with label smoothing; of mixed images the weighted mean over both labels.

    Args:
        label_smoothing: share of the target spread evenly over all classes, in [0, 1] (arXiv:1512.00567, section 7).
    """

    label_smoothing: float = 0.0

    def __call__(self, logits: Float[Tensor, "b k"], batch: Batch) -> Float[Tensor, ""]:
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        if batch.share == 1:
            return loss
        partner_loss = F.cross_entropy(logits, batch.partners, label_smoothing=self.label_smoothing)
        return batch.share * loss + (1 - batch.share) * partner_loss
