"""Metrics of test outputs besides top-1 accuracy."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BINS = 15  # of the calibration error; Guo et al., arXiv:1706.04599


def balanced_accuracy(predictions: "np.ndarray", labels: "np.ndarray") -> float:
    """Return the mean recall over the classes in %, from predicted classes (n) and labels (n)."""
    import numpy as np

    right = predictions == labels
    classes, indices = np.unique(labels, return_inverse=True)
    return float(100 * (np.bincount(indices, right) / np.bincount(indices)).mean()) if len(classes) else float("nan")


def calibration_error(logits: "np.ndarray", labels: "np.ndarray", *, bins: int = BINS) -> float:
    """Return the expected calibration error in % of logits (n k) and labels (n).

    Bins of confidence have equal width and include their upper edge. Source: Guo et al., arXiv:1706.04599, equation 3.
    """
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = (shifted / shifted.sum(axis=1, keepdims=True)).max(axis=1)
    right = logits.argmax(axis=1) == labels
    bin_index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_index, confidence, bins) - np.bincount(bin_index, right, bins)
    return float(100 * np.abs(gaps).sum() / len(labels))
