"""What a user might add to slbench: a backbone, a module of attention scores, a data set and an executor."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from slbench.backbones.attention_layer import AttentionLayer, layers_of_blocks
from slbench.backbones.layers import MLP, Attention, Backbone, Block, with_class_token
from slbench.backbones.receptive_part import ReceptivePart
from slbench.backbones.specs.base import BackboneEntry, PatchSpec
from slbench.data.sets.catalog import DatasetEntry
from slbench.data.specs import DatasetSpec
from slbench.data.splits import Sample
from slbench.grid.events import AlreadyFinished, Event, Finished, Started
from slbench.grid.executor import NO_LIMITS, Limits
from slbench.grid.queue import DEFAULT_POLICY, Policy
from slbench.grid.slots import Resolved, Slot
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.lsa import AttentionLogits
from slbench.methods.receptive_steps import steps_of
from slbench.methods.spt import tokenizer
from slbench.methods.token_grid import TokenGrid
from slbench.recipes import Precision
from slbench.record import Pruned
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train.tracking import Tracking
from slbench.validation import STRICT
from tests.support import train_here


@dataclass(frozen=True, kw_only=True)
class AddedSpec(PatchSpec):
    """Sizes of the added backbone."""

    __pydantic_config__ = STRICT

    tokens_per_side: ClassVar[int] = 2

    name: Literal["added"] = "added"
    patch_size: int | None = None
    dim: int = 12
    mlp_ratio: float = 2.0

    def resolved(self, image_size: tuple[int, int]) -> "AddedSpec":
        return replace(self, patch_size=self.resolved_patch(image_size))


class NearbyLogits(AttentionLogits):
    """Scores that fall with the squared distance of two tokens in the grid; a learned slope per head."""

    parameter_kinds: ClassVar[dict[str, str]] = {**AttentionLogits.parameter_kinds, "slope": "position"}

    def __init__(self, num_heads: int, head_dim: int, *, tokens: TokenGrid, **settings: Any) -> None:
        super().__init__(num_heads, head_dim, tokens=tokens, **settings)
        self.slope = nn.Parameter(torch.zeros(num_heads))
        places = torch.cartesian_prod(torch.arange(tokens.height), torch.arange(tokens.width)).float()
        squared = torch.cdist(places, places) ** 2
        self.squared: Tensor
        self.register_buffer("squared", nn.functional.pad(squared, (1, 0, 1, 0)), persistent=False)

    def products(self, q: Tensor, k: Tensor) -> Tensor:
        return super().products(q, k) - self.slope[:, None, None] * self.squared


class AddedNetwork(Backbone):
    """One block whose parameters have the usual names."""

    def __init__(self, spec: AddedSpec, method: Method, *, shape: ImageShape, drop_path: float = 0.0) -> None:
        super().__init__()
        height, width = spec.patch_grid(shape.size)
        assert spec.patch_size is not None
        tokens = TokenGrid(height=height, width=width, class_token=True)
        self.tokenizer = tokenizer(method, shape.channels, spec.dim, patch_size=spec.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + height * width, spec.dim))
        attention = Attention(spec.dim, num_heads=3, head_dim=4, method=method, tokens=tokens)
        attention.logits = NearbyLogits(
            3, 4, tokens=tokens, learn_temperature=method.learn_temperature, mask_self=method.mask_self
        )
        mlp = MLP(spec.dim, int(spec.dim * spec.mlp_ratio))
        self.blocks = nn.Sequential(Block(spec.dim, attention=attention, mlp=mlp, drop_path=drop_path))
        self.head = nn.Linear(spec.dim, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(with_class_token(self.cls_token, self.tokenizer(images)) + self.pos_embed)
        logits: Tensor = self.head(x[:, 0])
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return layers_of_blocks(self.blocks)

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        return (ReceptivePart("tokens", steps_of(self.tokenizer), self.tokenizer),)

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        del module
        if parameter.ndim > 1 or name == "slope":
            nn.init.normal_(parameter, std=0.05, generator=source)


BACKBONE = BackboneEntry(
    title="Added",
    spec=AddedSpec,
    module="tests.contracts.additions:AddedNetwork",
    source="this test",
    small=(AddedSpec(patch_size=4), (8, 12)),
)
METHOD = Method(shift="diagonal", learn_temperature=True)
DATASET = DatasetEntry(
    DatasetSpec(
        name="added-set",
        content="images-1:added",
        image_size=(16, 16),
        in_channels=1,
        num_classes=3,
        train_counts=20,
        validation_counts=2,
        num_test=9,
        mean=(0.5,),
        std=(0.25,),
    ),
    "tests.contracts.additions:load_added",
    "random images",
    auto_augment="cifar10",
)


def load_added() -> Iterator[Sample]:
    """Yield 20 training and 3 test images per class, which differ in their brightest column."""
    source = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 3)):
        for number in range(3 * count):
            pixels = source.integers(0, 200, (1, 16, 16), dtype=np.uint8)
            pixels[:, :, number % 3] = 255
            yield Sample(part, pixels, number % 3)  # type: ignore[arg-type]


class InThisProcess:
    """Executor that trains one run after the other in this process."""

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        store: Store,
        precisions: Mapping[Precision, Resolved],
        on_event: Callable[[Event], None],
        policy: Policy = DEFAULT_POLICY,
        limits: Limits = NO_LIMITS,
        tracking: Tracking | None = None,
    ) -> None:
        del precisions, policy, limits, tracking
        self.slot, self.store, self.on_event = slots[0], store, on_event

    def run(self, runs: Sequence[StudyRun], *, more: Callable[[], StudyRun | None] = lambda: None) -> int:
        waiting = iter(runs)
        while (run := next(waiting, None) or more()) is not None:
            claim = self.store.claims.acquire(run.spec.run_id)
            if claim is None or self.store.has_ended(run.spec):
                self.on_event(AlreadyFinished(run))
                continue
            self.on_event(Started(run, self.slot))
            record = train_here(run, self.store, data=run.data)
            claim.release(done=True)
            self.on_event(Finished(run, self.slot, record.final_test_top1, record.seconds))
        return 0

    def prune(self, run: StudyRun, pruned: Pruned) -> None:
        raise NotImplementedError("a run of this executor has ended before it could be pruned")

    def kill(self, run: StudyRun) -> bool:  # noqa: ARG002
        return False
