"""How good logits are, beside top-1 accuracy."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BINS = 15  # of the calibration error; Guo et al., arXiv:1706.04599


def balanced_accuracy(logits: "np.ndarray", labels: "np.ndarray") -> float:
    """Return the mean over the classes of the share of their images (n k logits, n labels) that are right, in %."""
    import numpy as np

    right = logits.argmax(axis=1) == labels
    classes, place = np.unique(labels, return_inverse=True)
    return float(100 * (np.bincount(place, right) / np.bincount(place)).mean()) if len(classes) else float("nan")


def calibration_error(logits: "np.ndarray", labels: "np.ndarray", *, bins: int = BINS) -> float:
    """Return the expected calibration error of logits (n k) in %: confidence less accuracy, by bins of confidence.

    Bins have equal width, and are closed above. Source: Guo et al., arXiv:1706.04599, equation 3.
    """
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = (shifted / shifted.sum(axis=1, keepdims=True)).max(axis=1)
    right = logits.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, confidence, bins) - np.bincount(place, right, bins)
    return float(100 * np.abs(gaps).sum() / len(labels))
