"""Running means of the metrics of attention layers."""

import math
from collections import defaultdict

from torch import Tensor

from slbench.analysis.layers import AttentionLayer


class RunningMeans:
    """Means of metrics per layer over all values added; NaN values are skipped."""

    def __init__(self) -> None:
        self.sums = defaultdict[tuple[int, str], float](float)
        self.counts = defaultdict[tuple[int, str], int](int)

    def add(self, layer: AttentionLayer, metric: str, values: Tensor) -> None:
        finite = values[~values.isnan()].cpu().double()
        self.sums[layer.number, metric] += finite.sum().item()
        self.counts[layer.number, metric] += finite.numel()

    def mean(self, layer: AttentionLayer, metric: str) -> float:
        """Return the mean of a metric; NaN without values."""
        count = self.counts[layer.number, metric]
        return self.sums[layer.number, metric] / count if count else math.nan
