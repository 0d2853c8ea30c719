"""Training recipes, with the source of every value. Free of torch."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen

from slbench.errors import InputError
from slbench.validation import STRICT

Precision = Literal["auto", "bf16", "fp32"]
Compile = Literal[False, True, "auto"]  # as requested
Policy = Literal["none", "dataset", "cifar10", "svhn", "imagenet"]
ParameterKind = Literal["norm", "bias", "position", "class_token", "temperature"]
Share = Annotated[float, Ge(0), Lt(1)]
Probability = Annotated[float, Ge(0), Le(1)]
MAX_FLOAT = 1e38  # of fp32
AtLeastZero = Annotated[float, Ge(0), Le(MAX_FLOAT)]
Positive = Annotated[float, Gt(0), Le(MAX_FLOAT)]
Shape = Annotated[float, Gt(0), Le(1e6)]
MAX_COUNT = 1_000_000
Count = Annotated[int, Ge(1), Le(MAX_COUNT)]
Copies = Annotated[int, Ge(1), Le(1000)]

ALIASES = {"precision": "recipe.precision", "compile": "recipe.compile"}  # short names of fields in studies
DEFAULT_LR = 0.001  # of recipes with lr None, unless the backbone has its own; see RECIPE_SOURCES


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of training that can change a result.

    The defaults are optimizer, schedule, flip and crop of the paper's released code; everything else is off.

    Raises:
        InputError: if values contradict each other.
    Source: see `RECIPE_SOURCES`.
    """

    __pydantic_config__ = STRICT

    epochs: Count = 100  # epochs of `passes` passes over the training images
    equal: Literal["epochs", "steps"] | None = None  # budget that subsets share with the whole set; None: "epochs"
    batch_size: Count = 128  # images
    drop_last: bool = True  # drop an incomplete last batch
    repeats: Copies = 1  # repeated augmentation: copies of each drawn image, in a row
    passes: Copies = 1  # shuffled passes over the training images per epoch
    accumulate: Count = 1  # batches per step, with averaged gradients
    lr: Positive | None = 0.001  # AdamW, after the warm-up; None: 0.003 for ViT, 0.001 for the others
    weight_decay: AtLeastZero = 0.05  # decoupled, as in AdamW
    no_decay: tuple[ParameterKind, ...] = ()  # kinds of parameters without weight decay
    betas: tuple[Share, Share] = (0.9, 0.999)  # of AdamW; torch's default, as released
    clip_norm: Positive | None = None  # maximum norm of all gradients together
    ema_decay: Share | None = None  # evaluate an exponential moving average of the weights
    warmup_epochs: Annotated[float, Ge(0), Le(MAX_COUNT)] = 10.0  # linear, per step; at most a tenth of all steps
    warmup_lr: AtLeastZero = 1e-6  # lr at the start of the warm-up
    min_lr: AtLeastZero = 1e-6  # lr at the end of the cosine
    label_smoothing: Share = 0.1  # probability spread over all classes
    drop_path: Share = 0.1  # stochastic depth: constant in ViT, PiT, CaiT; rising from 0 in the others
    flip: bool = True  # horizontal, with probability 1/2
    crop_padding: Annotated[int, Ge(0), Le(256)] = 4  # px of zero padding before a random crop; 0: off
    auto_augment: Policy = "none"  # "dataset": the policy published for the data set, else that of ImageNet
    augmentation: Annotated[str, MaxLen(1000)] = ""  # of a plugin, after AutoAugment; see slbench.plugins
    erase: Probability = 0.0  # random erasing, per image, after normalising
    erase_area: tuple[Share, Share] = (0.02, 0.4)  # share of the image: lowest and highest, uniform
    erase_aspect: tuple[Shape, Shape] = (0.3, 3.3)  # height / width: lowest and highest
    erase_aspect_draw: Literal["uniform", "log-uniform"] = "uniform"  # distribution of erase_aspect
    erase_fill: Literal["mean", "raw-mean"] = "mean"  # "raw-mean": the mean of raw images in [0, 1]
    cutmix: Probability = 0.0  # per batch
    cutmix_alpha: Shape = 1.0  # the share is Beta(alpha, alpha)
    mixup: Probability = 0.0  # per batch; never together with CutMix
    mixup_alpha: Shape = 1.0  # the share is Beta(alpha, alpha)
    precision: Precision = "fp32"  # auto: bf16 where the device computes it natively, else fp32
    compile: Compile = (
        False  # compile training steps by torch.compile; auto: as slbench.kernel_choice says, today never
    )

    def __post_init__(self) -> None:
        for field in ("warmup_lr", "min_lr"):
            if self.lr is not None and getattr(self, field) > self.lr:
                raise InputError(f"{field}: must be at most lr = {self.lr:g} (got {getattr(self, field):g})")
        for name in ("erase_area", "erase_aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(f"{name}: the first value must not be above the second (got [{low:g}, {high:g}])")
        if self.cutmix + self.mixup > 1:
            raise InputError(f"cutmix and mixup: their sum must be at most 1 (got {self.cutmix:g} and {self.mixup:g})")
        if len(set(self.no_decay)) < len(self.no_decay):
            raise InputError(f"no_decay: duplicate kinds (got {', '.join(self.no_decay)})")

    def resolved(self, *, dataset_policy: Policy, default_lr: float = DEFAULT_LR, subset: bool = False) -> "Recipe":
        """Return the recipe with all defaults resolved for a backbone and a data set.

        Args:
            dataset_policy: AutoAugment policy of the data set.
            default_lr: of the backbone, for recipes with lr None.
            subset: whether a subset is trained on; otherwise `equal` becomes None.
        """
        equal = (self.equal or "epochs") if subset else None
        policy = dataset_policy if self.auto_augment == "dataset" else self.auto_augment
        lr = default_lr if self.lr is None else self.lr
        return dataclasses.replace(self, auto_augment=policy, lr=lr, equal=equal)

    def batches(self, images: int) -> int:
        """Return the batches of one epoch over `images` training images."""
        samples = images * self.passes * self.repeats
        if not self.drop_last:
            return -(-samples // self.batch_size)
        return samples // self.batch_size // self.accumulate * self.accumulate

    def steps(self, images: int) -> int:
        """Return the optimizer steps of one epoch over `images` training images."""
        return -(-self.batches(images) // self.accumulate)

    def samples(self, images: int) -> int:
        """Return the images of one epoch, counted at each use."""
        return min(self.batches(images) * self.batch_size, images * self.passes * self.repeats)

    def warmup_steps(self, steps_per_epoch: int) -> int:
        """Return the steps of linear warm-up: those of `warmup_epochs`, at most a tenth of all steps."""
        return min(round(self.warmup_epochs * steps_per_epoch), self.epochs * steps_per_epoch // 10)


RELEASED = Recipe(
    passes=3,
    auto_augment="dataset",
    erase=0.25,
    erase_fill="raw-mean",
    cutmix=0.25,
    mixup=0.25,
)

RECIPES: dict[str, Recipe] = {
    # For studies of minutes on a CPU: few epochs, so a higher lr and smaller batches.
    "quick": Recipe(
        epochs=6, batch_size=64, lr=0.003, warmup_epochs=0.5, crop_padding=2, drop_path=0.0, precision="auto"
    ),
    "paper": dataclasses.replace(RELEASED, passes=1, repeats=3, drop_last=False, lr=None),
    "released": RELEASED,
    "modern": dataclasses.replace(
        RELEASED,
        passes=1,
        repeats=3,
        no_decay=("norm", "bias", "position", "class_token", "temperature"),
        clip_norm=1.0,
        erase_aspect_draw="log-uniform",
        erase_fill="mean",
        precision="bf16",
    ),
}

# Source of each value. "verbatim": in the paper or the authors' released code
# (github.com/aanna0701/SPT_LSA_ViT); "history": in the authors' repository at the time of the paper
# (github.com/aanna0701/SPM_LMSA_ViT); "guess": not documented; "ours".
_OFF = "verbatim: not in the released code"
_RELEASED = dict.fromkeys(Recipe.__dataclass_fields__, "verbatim: released code") | {
    "equal": "ours: the released code has no subsets",
    "accumulate": _OFF,
    "repeats": "verbatim: released code, which calls its three passes repeated augmentation",
    "no_decay": "verbatim: released code, which decays everything",
    "betas": "verbatim: released code, torch's default",
    "clip_norm": _OFF,
    "ema_decay": _OFF,
    "compile": _OFF,
    "drop_path": "verbatim: 0.1 in the released transformers; guess: also in the CNNs",
    "augmentation": _OFF,
    "auto_augment": "verbatim: released code; magnitudes and operations as in torchvision",
    "erase_aspect": "verbatim: released code",
    "erase_aspect_draw": "verbatim: released code; later implementations draw it log-uniform",
    "erase_fill": "verbatim: released code, which erases normalised images with the mean of raw ones",
}
RECIPE_SOURCES: dict[str, dict[str, str]] = {
    "quick": dict.fromkeys(Recipe.__dataclass_fields__, "ours: minutes on a CPU"),
    "released": _RELEASED,
    "paper": _RELEASED
    | {
        "lr": "history: 0.003 for ViT, 0.001 for Swin and CaiT; guess: 0.001 for T2T, PiT and the CNNs",
        "passes": "history: one pass, of triples",
        "repeats": "history: each drawn image three times in a row",
        "drop_last": "history: the last batch is kept",
        "precision": "guess: fp32, as released",
        "epochs": "verbatim: 100, as the paper says",
    },
    "modern": _RELEASED
    | {
        "passes": "ours: repeated augmentation as in arXiv:1902.05509 instead of three passes",
        "repeats": "ours: arXiv:1902.05509",
        "no_decay": "ours: common practice since arXiv:2012.12877; a decay of 0.05 alone shrinks the scale of LSA",
        "clip_norm": "ours: common practice",
        "erase_aspect_draw": "ours: tall and wide are equally likely",
        "erase_fill": "ours: the mean colour",
        "precision": "ours: common practice; the same on every device, so machines can share a grid",
    },
}
