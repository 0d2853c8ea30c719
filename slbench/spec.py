"""RunSpec: everything that can change a run's result, and nothing else. Its hash is the run's id."""

import functools
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from slbench.backbones import build, resolve_network
from slbench.backbones.specs import (
    BackboneSpec,
    CaiTSpec,
    EfficientNetSpec,
    PiTSpec,
    ResNetSpec,
    SwinSpec,
    T2TSpec,
    ViTSpec,
)
from slbench.data.specs import DatasetSpec
from slbench.errors import InputError
from slbench.methods import Method
from slbench.numerics_versions import NUMERICS
from slbench.recipes import Recipe
from slbench.validation import adapter

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone

SCHEMA = 2  # 2: data sets by `content` and the counts of their classes
Protocol = Literal["holdout", "full", "paper"]


@dataclass(
    frozen=True, kw_only=True, config=ConfigDict(defer_build=True, extra="forbid", strict=True, allow_inf_nan=False)
)
class RunSpec:
    """One training run, every default written out.

    Device, threads, folders and logging are not in it: they must not change the science.
    """

    backbone: Annotated[BackboneSpec, Field(discriminator="name")]
    method: Method
    dataset: DatasetSpec
    recipe: Recipe
    protocol: Protocol
    seed: Annotated[int, Field(ge=0)]
    numerics: dict[str, int]  # version of each part that is used; see slbench.numerics_versions
    schema: int = SCHEMA

    @classmethod
    def resolve(
        cls,
        *,
        backbone: BackboneSpec,
        method: Method,
        dataset: DatasetSpec,
        recipe: Recipe,
        protocol: Protocol,
        seed: int,
    ) -> "RunSpec":
        """The spec of a run from parts that may leave values to rules.

        Raises:
            InputError: where the parts do not fit each other: a patch that does not divide the image,
                a shift of 0 px.
            InapplicableError: if the row means nothing on the backbone.
        """
        backbone, method = resolve_network(
            backbone,
            method,
            image_size=dataset.image_size,
            in_channels=dataset.in_channels,
            num_classes=dataset.num_classes,
        )
        holdout = protocol == "holdout"
        subset = dataset.trained_on(holdout=holdout) != dataset.without_validation(holdout=holdout)
        recipe = recipe.resolved(backbone=backbone.name, dataset=dataset.name, subset=subset)
        run = cls(
            backbone=backbone,
            method=method,
            dataset=dataset,
            recipe=recipe,
            protocol=protocol,
            seed=seed,
            numerics={part: NUMERICS[part] for part in parts_used(backbone, method, recipe, dataset)},
        )
        if protocol == "holdout" and dataset.num_validation == 0:
            raise InputError(
                f"protocol 'holdout' finds no validation image among the {dataset.num_train} of training: "
                "take protocol 'full', or bring more images"
            )
        if run.steps_per_epoch == 0:
            drawn = run.epoch_images * recipe.passes * recipe.repeats
            needed = f"batch_size {recipe.batch_size}"
            if recipe.accumulate > 1:
                needed += f" x accumulate {recipe.accumulate}"
            cure = "" if recipe.equal is None else "; recipe.equal = 'steps' makes the epochs of the whole set"
            raise InputError(f"{needed} is above the {drawn} training images of {dataset.name}{cure}")
        return run

    @property
    def num_images(self) -> int:
        """Images that are trained on, under the run's protocol."""
        return sum(self.dataset.trained_on(holdout=self.protocol == "holdout"))

    @property
    def epoch_images(self) -> int:
        """Images that each pass of an epoch draws: those trained on, or at equal steps as many as the whole set has."""
        if self.recipe.equal != "steps":
            return self.num_images
        return sum(self.dataset.without_validation(holdout=self.protocol == "holdout"))

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimizer."""
        return self.recipe.steps(self.epoch_images)

    @property
    def samples_per_epoch(self) -> int:
        """Images that are trained on, counted at each use."""
        return self.recipe.samples(self.epoch_images)

    @functools.cached_property
    def run_id(self) -> str:
        """First 12 hex digits of the sha256 of the canonical JSON."""
        return digest(self.as_dict())

    @functools.cached_property
    def cell_id(self) -> str:
        """Like `run_id` but without the seed: runs that share it are repetitions of one experiment."""
        content = self.as_dict()
        del content["seed"]
        return digest(content)

    def build_network(self) -> "Backbone":
        """The network with the initial values of the run's seed, on the CPU."""
        return build(
            self.backbone,
            self.method,
            image_size=self.dataset.image_size,
            in_channels=self.dataset.in_channels,
            num_classes=self.dataset.num_classes,
            drop_path=self.recipe.drop_path,
            seed=self.seed,
        )

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, as JSON holds them: what the ids are of. See IDENTITY_DEFAULTS for what is left out."""
        return identity_dict(self)


# Fields that were added after ids were first given, each with the value that stands for what was done before. At that
# value ids leave the field out, so that older runs, speeds and searches are found again. It must stay the field's
# default, which is what an older record reads as. Every other field is in the id at every value.
IDENTITY_DEFAULTS: dict[type, dict[str, Any]] = {
    RunSpec: {},
    Method: {},
    DatasetSpec: {},
    Recipe: {"equal": None},
    ViTSpec: {"qkv_bias": False},
    T2TSpec: {},
    CaiTSpec: {},
    PiTSpec: {"variant": "paper"},
    SwinSpec: {"absolute_positions": True},
    ResNetSpec: {},
    EfficientNetSpec: {},
}


def to_dict(value: Any) -> dict[str, Any]:
    """A dataclass as nested plain values, as JSON holds them, every field of it.

    Pydantic's way is some twenty times as fast as the standard library's.
    """
    kind: Any = type(value)
    content: dict[str, Any] = adapter(kind).dump_python(value, mode="json")
    return content


def identity_dict(value: Any) -> dict[str, Any]:
    """Return the same without the fields that have their value in IDENTITY_DEFAULTS: what is hashed."""
    content = to_dict(value)
    for name in content:
        drop_defaults(content[name], getattr(value, name))
    drop_defaults(content, value)
    return content


def drop_defaults(content: dict[str, Any], value: Any) -> None:
    """Remove from the content of a dataclass the fields that have their value in IDENTITY_DEFAULTS."""
    for field, default in IDENTITY_DEFAULTS.get(type(value), {}).items():
        if getattr(value, field) == default:
            del content[field]


def digest(content: Any) -> str:
    """First 12 hex digits of the sha256 of JSON-able content, keys sorted."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def parts_used(backbone: BackboneSpec, method: Method, recipe: Recipe, dataset: DatasetSpec) -> list[str]:
    """Names of the parts whose numerics decide a run, as in slbench.numerics_versions."""
    used = {
        "subset": dataset.fraction is not None or dataset.per_class is not None,
        "augmentation": recipe.flip or recipe.crop_padding > 0,
        "autoaugment": recipe.auto_augment != "none",
        "erasing": recipe.erase > 0,
        "mixing": recipe.cutmix > 0 or recipe.mixup > 0,
        "averaging": recipe.ema_decay is not None,
    }
    return ["trainer", *(part for part, is_used in used.items() if is_used), *network_parts(backbone, method)]


def network_parts(backbone: BackboneSpec, method: Method) -> list[str]:
    """Those among them that are the network's."""
    used = {"spt": method.shift != "none", "window": method.window != 1, "lsa": method.changes_attention}
    return [backbone.name, *(part for part, is_used in used.items() if is_used)]
