"""Recipes: how a network is trained, every value with its source. Free of torch."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from slbench.errors import InputError
from slbench.validation import STRICT

Precision = Literal["auto", "bf16", "fp32"]
Policy = Literal["none", "dataset", "cifar10", "svhn", "imagenet"]
ParameterKind = Literal["norm", "bias", "position", "class_token", "temperature"]
Share = Annotated[float, Ge(0), Lt(1)]
Probability = Annotated[float, Ge(0), Le(1)]
AtLeastZero = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Count = Annotated[int, Ge(1)]

LR_BY_BACKBONE, OTHER_LR = {"vit": 0.003}, 0.001  # where a recipe leaves lr open; see RECIPE_SOURCES
POLICY_BY_DATASET: dict[str, Policy] = {"cifar10": "cifar10", "cifar100": "cifar10", "svhn": "svhn"}  # else imagenet


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about training that can change a result.

    Defaults are the optimizer, schedule, flip and crop of the paper's released code, and everything
    else off.
    """

    __pydantic_config__ = STRICT

    epochs: Count = 100  # of the training images, `passes` times over
    equal: Literal["epochs", "steps"] | None = None  # what a subset of a data set shares with it; None: "epochs"
    batch_size: Count = 128  # images
    drop_last: bool = True  # a last batch of an epoch that is not full is left out
    repeats: Count = 1  # repeated augmentation: each image that is drawn stands so often in a row
    passes: Count = 1  # shuffled passes over the training images that make one epoch
    accumulate: Count = 1  # batches whose gradients are averaged for one step
    lr: Positive | None = 0.001  # AdamW, at the end of the warm-up; None: 0.003 for ViT and 0.001 for the others
    weight_decay: AtLeastZero = 0.05  # decoupled
    no_decay: tuple[ParameterKind, ...] = ()  # kinds of parameters that do not decay
    betas: tuple[Share, Share] = (0.9, 0.999)  # AdamW's averages; torch's default, as released
    clip_norm: Positive | None = None  # largest norm of all gradients together
    ema_decay: Share | None = None  # evaluate an exponential moving average of the weights
    warmup_epochs: AtLeastZero = 10.0  # linear, per step; cut to a tenth of the steps
    warmup_lr: AtLeastZero = 1e-6  # where the warm-up starts
    min_lr: AtLeastZero = 1e-6  # where the cosine ends
    label_smoothing: Share = 0.1  # probability that is spread over all classes
    drop_path: Share = 0.1  # stochastic depth: constant in ViT, PiT, CaiT; rising from 0 in the others
    flip: bool = True  # horizontally, half of the images
    crop_padding: Annotated[int, Ge(0), Le(256)] = 4  # px of zeros around the image, then a random crop; 0 is off
    auto_augment: Policy = "none"  # "dataset": the policy that was published for the data set, else ImageNet's
    erase: Probability = 0.0  # random erasing, of an image, after normalising
    erase_area: tuple[Share, Share] = (0.02, 0.4)  # of the image: lowest and highest share, uniform
    erase_aspect: tuple[Positive, Positive] = (0.3, 3.3)  # height / width: lowest and highest
    erase_aspect_draw: Literal["uniform", "log-uniform"] = "uniform"  # how erase_aspect is drawn
    erase_fill: Literal["mean", "raw-mean"] = "mean"  # "raw-mean": the mean in [0, 1], written into normalised images
    cutmix: Probability = 0.0  # of a batch
    cutmix_alpha: Positive = 1.0  # of its Beta(alpha, alpha)
    mixup: Probability = 0.0  # of a batch; never together with CutMix
    mixup_alpha: Positive = 1.0  # of its Beta(alpha, alpha)
    precision: Precision = "fp32"  # auto: bf16 where the device computes it natively, else fp32

    def __post_init__(self) -> None:
        for field in ("warmup_lr", "min_lr"):
            if self.lr is not None and getattr(self, field) > self.lr:
                raise InputError(f"{field} {getattr(self, field):g} is above lr {self.lr:g}")
        for name in ("erase_area", "erase_aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(f"{name} [{low:g}, {high:g}] must rise")
        if self.cutmix + self.mixup > 1:
            raise InputError(
                f"cutmix {self.cutmix:g} and mixup {self.mixup:g} exclude each other, so their sum is at most 1"
            )
        if len(set(self.no_decay)) < len(self.no_decay):
            raise InputError(f"no_decay names a kind twice: {', '.join(self.no_decay)}")

    def resolved(self, *, backbone: str, dataset: str, subset: bool = False) -> "Recipe":
        """The recipe with what it leaves to backbone and data set written out, by their names.

        Args:
            subset: a part of the data set is trained on; otherwise `equal` means nothing and becomes None.
        """
        equal = (self.equal or "epochs") if subset else None
        policy = POLICY_BY_DATASET.get(dataset, "imagenet") if self.auto_augment == "dataset" else self.auto_augment
        lr = LR_BY_BACKBONE.get(backbone, OTHER_LR) if self.lr is None else self.lr
        return dataclasses.replace(self, auto_augment=policy, lr=lr, equal=equal)

    def batches(self, images: int) -> int:
        """Batches of one epoch over so many training images."""
        drawn = images * self.passes * self.repeats
        if not self.drop_last:
            return -(-drawn // self.batch_size)
        return drawn // self.batch_size // self.accumulate * self.accumulate

    def steps(self, images: int) -> int:
        """Steps of the optimizer in one epoch over so many training images."""
        return -(-self.batches(images) // self.accumulate)

    def samples(self, images: int) -> int:
        """Images that one epoch trains on, counted at each use."""
        return min(self.batches(images) * self.batch_size, images * self.passes * self.repeats)

    def warmup_steps(self, steps_per_epoch: int) -> int:
        """Steps of linear warm-up: as asked, but at most a tenth of all steps."""
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
    # For studies of minutes on a CPU: few epochs, hence a higher rate and smaller batches.
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

# Where each value is from. "verbatim": seen in the paper or the authors' released code
# (github.com/aanna0701/SPT_LSA_ViT); "history": in the authors' repository of the paper's own time
# (github.com/aanna0701/SPM_LMSA_ViT); "guess": nobody has said; "ours".
_OFF = "verbatim: not in the released code"
_RELEASED = dict.fromkeys(Recipe.__dataclass_fields__, "verbatim: released code") | {
    "equal": "ours: there are no subsets in the released code",
    "accumulate": _OFF,
    "repeats": "verbatim: released code, which calls its three passes repeated augmentation",
    "no_decay": "verbatim: released code, in which everything decays",
    "betas": "verbatim: released code, torch's default",
    "clip_norm": _OFF,
    "ema_decay": _OFF,
    "drop_path": "verbatim: 0.1 in the released transformers; guess: also in the CNNs",
    "auto_augment": "verbatim: released code; magnitudes and operations as torchvision has them",
    "erase_aspect": "verbatim: released code",
    "erase_aspect_draw": "verbatim: released code; not log-uniform, as later implementations draw it",
    "erase_fill": "verbatim: released code, which erases normalised images with the mean of raw ones",
}
RECIPE_SOURCES: dict[str, dict[str, str]] = {
    "quick": dict.fromkeys(Recipe.__dataclass_fields__, "ours: minutes on a CPU"),
    "released": _RELEASED,
    "paper": _RELEASED
    | {
        "lr": "history: 0.003 for ViT, 0.001 for Swin and CaiT; guess: 0.001 for T2T, PiT and the CNNs",
        "passes": "history: one, of triples",
        "repeats": "history: each drawn image three times in a row",
        "drop_last": "history: the last batch is kept",
        "precision": "guess: fp32, as released",
        "epochs": "verbatim: 100, as the paper says",
    },
    "modern": _RELEASED
    | {
        "passes": "ours: repeated augmentation as in arXiv:1902.05509 in place of three passes",
        "repeats": "ours: arXiv:1902.05509",
        "no_decay": "ours: common practice since arXiv:2012.12877; at 0.05 decay alone shrinks the temperature's scale",
        "clip_norm": "ours: common practice",
        "erase_aspect_draw": "ours: so that tall and wide are as likely",
        "erase_fill": "ours: the mean colour",
        "precision": "ours: common practice; the same on every device, so that machines can share a grid",
    },
}
