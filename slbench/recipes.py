"""Recipes: how a network is trained, every value with its source. Free of torch."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from slbench.errors import InputError

Precision = Literal["auto", "bf16", "fp32"]
Share = Annotated[float, Field(ge=0, lt=1)]
AtLeastZero = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Recipe:
    """Everything about training that can change a result.

    Defaults are the values of the paper's released code (github.com/aanna0701/SPT_LSA_ViT), as far as
    there is a field for them; its AutoAugment, random erasing, CutMix and Mixup have none yet.
    """

    epochs: Annotated[int, Field(ge=1)] = 100
    batch_size: Annotated[int, Field(ge=1)] = 128  # images; a last batch that is not full is dropped
    lr: Annotated[float, Field(gt=0)] = 0.001  # AdamW, at the end of the warm-up
    weight_decay: AtLeastZero = 0.05  # of every parameter, decoupled
    betas: tuple[Share, Share] = (0.9, 0.999)  # AdamW's averages; torch's default, as released
    warmup_epochs: AtLeastZero = 10.0  # linear, per step; cut to a tenth of the steps
    warmup_lr: AtLeastZero = 1e-6  # where the warm-up starts
    min_lr: AtLeastZero = 1e-6  # where the cosine ends
    label_smoothing: Share = 0.1
    drop_path: Share = 0.1  # stochastic depth
    flip: bool = True  # horizontally, half of the images
    crop_padding: Annotated[int, Field(ge=0, le=256)] = 4  # px of zeros around the image, then a random crop; 0 is off
    precision: Precision = "fp32"  # auto: bf16 where the device computes it natively, else fp32

    def __post_init__(self) -> None:
        for field in ("warmup_lr", "min_lr"):
            if getattr(self, field) > self.lr:
                raise InputError(f"{field} {getattr(self, field):g} is above lr {self.lr:g}")

    def warmup_steps(self, steps_per_epoch: int) -> int:
        """Steps of linear warm-up: as asked, but at most a tenth of all steps."""
        return min(round(self.warmup_epochs * steps_per_epoch), self.epochs * steps_per_epoch // 10)


RECIPES: dict[str, Recipe] = {
    # For studies of minutes on a CPU: few epochs, hence a higher rate and smaller batches.
    "quick": Recipe(
        epochs=6, batch_size=64, lr=0.003, warmup_epochs=0.5, crop_padding=2, drop_path=0.0, precision="auto"
    ),
}
