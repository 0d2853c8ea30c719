"""Whether the disk has room for a run, asked before it starts."""

from collections.abc import Sequence

from slbench.archive.clean import size
from slbench.measure.network import Network
from slbench.store import Store
from slbench.study import StudyRun
from slbench.text import megabytes

AMPLE_BYTES_PER_RUN = (
    2**30
)  # bytes free for each run: by their own sizes no network here needs so much, and nothing need be counted
SLACK = 2**21  # bytes: log, history, spec, record, headers
CHECKPOINTS = 3  # at once, for a moment: two, and the one that is being written
LABEL_BYTES, LOGIT_BYTES = 8, 2


def needed_bytes(run: StudyRun) -> int:
    """What a run has on the disk at most, at one moment. Counts its network, which takes torch."""
    from slbench.measure.compute_budget import weight_bytes

    weights = weight_bytes(Network.of(run.spec))
    return checkpoint_bytes(run, weights) + weights + logits_bytes(run) + SLACK


def checkpoint_bytes(run: StudyRun, weights: int) -> int:
    """What the checkpoints of a run take at most, of a network with so many bytes of weights.

    Each holds the weights, the two moments of AdamW, the average of the weights and those of the best
    epoch, as far as the run has these.
    """
    return CHECKPOINTS * weights * (3 + (run.spec.recipe.ema_decay is not None) + (run.labels.keep == "best"))


def kept_bytes(run: StudyRun, weights: int) -> int:
    """What a run keeps once it is finished: its weights, unless they are not to be kept, and its test logits."""
    return (0 if run.labels.keep == "none" else weights) + logits_bytes(run)


def logits_bytes(run: StudyRun) -> int:
    """Of the test images: a float16 for each class, and the label."""
    return run.spec.dataset.num_test * (run.spec.dataset.num_classes * LOGIT_BYTES + LABEL_BYTES)


def disk_shortfall(store: Store, starting: StudyRun, running: Sequence[StudyRun]) -> str | None:
    """Why there is no room to start a run beside those that are running; None if there is.

    What their folders hold already counts for them.
    """
    runs = [starting, *running]
    free = store.free_bytes()
    if free >= AMPLE_BYTES_PER_RUN * len(runs):
        return None
    needed = sum(max(0, needed_bytes(run) - size(store.folder(run.spec, run.labels))) for run in runs)
    if free >= needed:
        return None
    return (
        f"disk full: {store.root} has {megabytes(free)} free, and {starting.title} needs up to "
        f"{megabytes(needed)}{' with those that run' if running else ''}: make space, and the same command goes on"
    )
