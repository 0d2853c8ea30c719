"""Exact pixel statistics from histograms, independent of the order of the images."""

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.int64]  # (channels, 256)
BLOCK = 1000  # images per call: bincount needs 8 bytes per pixel


def levels(images: NDArray[np.uint8]) -> Levels:
    """Return the histogram of each channel over images (n, channels, height, width)."""
    histograms = np.zeros((images.shape[1], 256), dtype=np.int64)
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK]
        for channel in range(len(histograms)):
            histograms[channel] += np.bincount(block[:, channel].ravel(), minlength=256)
    return histograms


def moments(histograms: Levels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel in [0, 1] to five digits; std 1 for a constant channel."""
    level = np.arange(256) / 255
    means, deviations = [], []
    for counts in histograms:
        mean = float((counts * level).sum() / counts.sum())
        means.append(round(mean, 5))
        deviations.append(round(float((counts * (level - mean) ** 2).sum() / counts.sum()) ** 0.5, 5))
    return tuple(means), tuple(deviation or 1.0 for deviation in deviations)
