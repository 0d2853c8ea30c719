"""Running means of the metrics of attention layers."""

import math
from collections import defaultdict

from torch import Tensor

from slbench.backbones.attention_layer import AttentionLayer


class RunningMeans:
    """Means of metrics per layer over all values added; NaN values are skipped."""

    def __init__(self) -> None:
        self.sums = defaultdict[tuple[AttentionLayer, str], float](float)
        self.counts = defaultdict[tuple[AttentionLayer, str], int](int)

    def add(self, layer: AttentionLayer, metric: str, values: Tensor) -> None:
        finite = values[~values.isnan()].cpu().double()
        self.sums[layer, metric] += finite.sum().item()
        self.counts[layer, metric] += finite.numel()

    def mean(self, layer: AttentionLayer, metric: str) -> float:
        """Return the mean of a metric; NaN without values."""
        count = self.counts[layer, metric]
        return self.sums[layer, metric] / count if count else math.nan
