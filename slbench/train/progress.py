"""Progress of a run, as shown while it trains and sent by its worker process. Free of torch."""

from pydantic import BaseModel, ConfigDict


class Progress(BaseModel):
    """Progress of a run."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", ser_json_inf_nan="constants")

    epoch: int  # current one, counted from 1
    epochs: int
    step: int  # finished steps of the whole run
    steps: int
    loss: float  # of the last step
    val_top1: float | None  # of the last finished epoch, in percent
    test_top1: float | None
    images_per_second: float  # over the current epoch

    @property
    def top1(self) -> float | None:
        """Accuracy in percent to show during a run: validation if there is one, else test."""
        return self.test_top1 if self.val_top1 is None else self.val_top1
