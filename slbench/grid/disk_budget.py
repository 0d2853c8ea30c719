"""Disk space that a run needs, checked before it starts."""

from collections.abc import Sequence

from slbench.archive.clean import size
from slbench.measure.network import Network
from slbench.store import Store
from slbench.study import StudyRun
from slbench.text import megabytes

AMPLE_BYTES_PER_RUN = 2**30  # more than any run here needs; with so much free nothing is counted
SLACK = 2**21  # bytes: log, history, spec, record, headers
CHECKPOINTS = 3  # at once: two, and the one being written
LABEL_BYTES, LOGIT_BYTES = 8 + 4 + 1, 2  # label, predicted class, whether in the top five


def needed_bytes(run: StudyRun) -> int:
    """Return the peak disk usage of a run in bytes. Builds its network, which imports torch."""
    from slbench.measure.compute_budget import weight_bytes

    weights = weight_bytes(Network.of(run.spec))
    return checkpoint_bytes(run, weights) + weights + logits_bytes(run) + SLACK


def checkpoint_bytes(run: StudyRun, weights: int) -> int:
    """Return the most bytes that the checkpoints of a run take.

    Each holds the weights, the two moments of AdamW and, if used, the averaged weights and those of the best epoch.

    Args:
        weights: bytes of the weights of the network.
    """
    return CHECKPOINTS * weights * (3 + (run.spec.recipe.ema_decay is not None) + (run.labels.keep == "best"))


def kept_bytes(run: StudyRun, weights: int) -> int:
    """Return the bytes that a finished run keeps: test logits, and its weights unless `keep` is "none"."""
    return (0 if run.labels.keep == "none" else weights) + logits_bytes(run)


def logits_bytes(run: StudyRun) -> int:
    """Return the bytes of the test logits: a float16 per class, the label and the prediction, for each test image."""
    return run.spec.dataset.num_test * (run.spec.dataset.num_classes * LOGIT_BYTES + LABEL_BYTES)


def disk_shortfall(store: Store, starting: StudyRun, running: Sequence[StudyRun]) -> str | None:
    """Return why the disk has no room for one more run; None if it has. Existing files of the runs are deducted."""
    runs = [starting, *running]
    free = store.free_bytes()
    if free >= AMPLE_BYTES_PER_RUN * len(runs):
        return None
    needed = sum(max(0, needed_bytes(run) - size(store.folder(run.spec, run.labels))) for run in runs)
    if free >= needed:
        return None
    return (
        f"disk full: {store.root} has {megabytes(free)} free, and {starting.title} needs up to "
        f"{megabytes(needed)}{' with the running jobs' if running else ''}: free some space, then run the same "
        "command to resume"
    )
