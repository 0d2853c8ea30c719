"""Which kernel computes an operation: committed rules of device kind, precision and shape.

Nothing is timed at run time, so that a run computes the same bits wherever it is resumed. A rule is drawn up from a
measurement and names it; where nothing was measured, the plain definition is used. Changing a rule changes numbers:
raise "kernels" in slbench.numerics_versions.
"""

from dataclasses import dataclass
from typing import Literal

Kernel = Literal["plain", "fused"]
# What is softmaxed: scaled products; with the diagonal masked; or anything else: biases, mixed heads, other masks
Form = Literal["bare", "masked", "general"]


@dataclass(frozen=True, kw_only=True)
class AttentionRule:
    """The kernel of attention on one kind of device in one precision, up to a number of keys."""

    device_kind: str  # "cpu", "cuda", "mps"
    precision: Literal["bf16", "fp32"]
    max_keys: int | None = None  # None: any number
    kernel: Kernel
    source: str  # page and section with the measurement


MEASURED = "docs/performance.md#Kernels of attention"
# In order: the first that fits decides. On a CPU in fp32 the fused kernel is faster, but would move the numbers of all
# stored runs; in bf16 it is slower. On CUDA and MPS nothing is measured.
ATTENTION_RULES: tuple[AttentionRule, ...] = (
    AttentionRule(device_kind="cpu", precision="fp32", kernel="plain", source=MEASURED),
    AttentionRule(device_kind="cpu", precision="bf16", kernel="plain", source=MEASURED),
)
UNMEASURED: Kernel = "plain"

# Fewest training steps of a run for which `compile = "auto"` compiles, by kind of device; None: never. A CPU showed no
# gain at the paper's sizes in fp32 (docs/performance.md); on CUDA and MPS nothing is measured.
COMPILED_FROM_STEPS: dict[str, int | None] = {"cpu": None, "cuda": None, "mps": None}


def attention_kernel(form: Form, keys: int, *, device_kind: str, precision: Literal["bf16", "fp32"]) -> Kernel:
    """Return the kernel of an attention over a number of keys; the plain one for forms that no other expresses."""
    if form == "general":
        return "plain"
    for rule in ATTENTION_RULES:
        fits = rule.max_keys is None or keys <= rule.max_keys
        if rule.device_kind == device_kind and rule.precision == precision and fits:
            return rule.kernel
    return UNMEASURED


def compiles(requested: bool | Literal["auto"], *, device_kind: str, steps: int) -> bool:
    """Return whether a run compiles its training steps, as its recipe requests.

    Args:
        steps: of the whole run.
    """
    if requested != "auto":
        return requested
    fewest = COMPILED_FROM_STEPS.get(device_kind)
    return fewest is not None and steps >= fewest
