"""RunSpec: everything that can change the result of a run. Its hash is the run id."""

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from slbench.backbones import BACKBONES, backbone_entry, build, resolve_network
from slbench.backbones.specs import BackboneSpec, RegisteredSpec
from slbench.data.sets.catalog import auto_augment_policy
from slbench.data.specs import DatasetSpec
from slbench.errors import InputError
from slbench.methods import METHODS, Method
from slbench.numerics_versions import NUMERICS
from slbench.recipes import Recipe
from slbench.validation import adapter

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone

SCHEMA = 2  # 2: data sets identified by `content` and class counts
Protocol = Literal["holdout", "full", "paper"]


@dataclass(
    frozen=True, kw_only=True, config=ConfigDict(defer_build=True, extra="forbid", strict=True, allow_inf_nan=False)
)
class RunSpec:
    """Everything that determines the result of one training run, with all defaults resolved.

    Device, threads, folders and logging are not included. Construct with `resolve`.
    """

    backbone: RegisteredSpec
    method: Method
    dataset: DatasetSpec
    recipe: Recipe
    protocol: Protocol
    seed: Annotated[int, Field(ge=0)]
    numerics: dict[str, int]  # version of each part used; see slbench.numerics_versions and the specs of backbones
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
        methods: Mapping[str, Method] = METHODS,
    ) -> "RunSpec":
        """Return the spec of a run from parts that may have unresolved defaults.

        Args:
            methods: by the names that a control of equal parameters may have.
        Raises:
            InputError: if the parts do not fit each other, such as a patch that does not divide the image.
            InapplicableError: if the method does not apply to the backbone.
        """
        backbone, method = resolve_network(backbone, method, shape=dataset.shape, methods=methods)
        holdout = protocol == "holdout"
        subset = dataset.trained_on(holdout=holdout) != dataset.without_validation(holdout=holdout)
        recipe = recipe.resolved(
            dataset_policy=auto_augment_policy(dataset.name), default_lr=backbone_entry(backbone.name).lr, subset=subset
        )
        run = cls(
            backbone=backbone,
            method=method,
            dataset=dataset,
            recipe=recipe,
            protocol=protocol,
            seed=seed,
            numerics=training_numerics(recipe, dataset) | network_numerics(backbone, method),
        )
        if method.mask_warmup > recipe.epochs:
            raise InputError(
                f"method.mask_warmup: longer than the run (got {method.mask_warmup:g} epochs); "
                f"allowed: 0 to {recipe.epochs}"
            )
        if protocol == "holdout" and dataset.num_validation == 0:
            raise InputError(
                f"protocol: no validation image among {dataset.num_train} training images (got 'holdout'); "
                "use protocol 'full' or add images"
            )
        if dataset.split_seed and dataset.has_published_test and protocol != "holdout":
            raise InputError(
                f"dataset.split_seed: changes nothing under protocol '{protocol}' on published test images "
                f"(got {dataset.split_seed}); allowed: 0, or protocol holdout"
            )
        if run.steps_per_epoch == 0:
            samples = run.epoch_images * recipe.passes * recipe.repeats
            key, batch = "batch_size", f"{recipe.batch_size}"
            if recipe.accumulate > 1:
                key, batch = "batch_size x accumulate", f"{batch} x {recipe.accumulate}"
            hint = "" if recipe.equal is None else "; recipe.equal = 'steps' uses the epochs of the whole set"
            raise InputError(f"{key}: above the {samples} training images of {dataset.name} (got {batch}){hint}")
        return run

    @functools.cached_property
    def num_images(self) -> int:
        """Return the number of training images under the run's protocol."""
        return sum(self.dataset.trained_on(holdout=self.protocol == "holdout"))

    @functools.cached_property
    def epoch_images(self) -> int:
        """Return the images drawn per pass: the training images, or with equal steps as many as in the whole set."""
        if self.recipe.equal != "steps":
            return self.num_images
        return sum(self.dataset.without_validation(holdout=self.protocol == "holdout"))

    @property
    def steps_per_epoch(self) -> int:
        """Return the optimizer steps of an epoch."""
        return self.recipe.steps(self.epoch_images)

    @property
    def samples_per_epoch(self) -> int:
        """Return the training images of an epoch, counted at each use."""
        return self.recipe.samples(self.epoch_images)

    @functools.cached_property
    def run_id(self) -> str:
        """Return the first 12 hex digits of the sha256 of the canonical JSON."""
        return digest(self.as_dict())

    @functools.cached_property
    def cell_id(self) -> str:
        """Return the id without the seed, which repetitions of one experiment share."""
        content = self.as_dict()
        del content["seed"]
        return digest(content)

    def build_network(self) -> "Backbone":
        """Return the network with its initial values, on the CPU."""
        return build(
            self.backbone, self.method, shape=self.dataset.shape, drop_path=self.recipe.drop_path, seed=self.seed
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON values that ids are computed from, without those in IDENTITY_DEFAULTS."""
        return identity_dict(self)


# Fields added after the first ids, with the value that describes older runs. Ids omit a field at that value, so that
# older runs, speeds and searches keep their ids. The value must stay the default of the field, with which older records
# are read. All other fields are part of the id at every value.
IDENTITY_DEFAULTS: dict[type, dict[str, Any]] = {
    RunSpec: {},
    Method: {
        "mask_warmup": 0.0,
        "initialization": "default",
        "gaussians": 0,
        "embedding": "default",
        "global_pool": "default",
        "mlp": "default",
        "registers": 0,
        "match_parameters": None,
        "own_tokenizer": "",
        "own_scores": "",
    },
    DatasetSpec: {"split_seed": 0},
    Recipe: {"equal": None, "augmentation": "", "compile": False},
    **{entry.spec: entry.spec.identity_defaults for entry in BACKBONES.values()},
}


def to_dict(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON values, with every field; pydantic is 20 times faster than `dataclasses.asdict`."""
    kind: Any = type(value)
    content: dict[str, Any] = adapter(kind).dump_python(value, mode="json")
    return content


def identity_dict(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON values without fields at their value in IDENTITY_DEFAULTS, for hashing."""
    content = to_dict(value)
    for name in content:
        drop_defaults(content[name], getattr(value, name))
    drop_defaults(content, value)
    return content


def drop_defaults(content: dict[str, Any], value: Any) -> None:
    """Remove the fields of a dataclass at their value in IDENTITY_DEFAULTS from its content, in place."""
    defaults = IDENTITY_DEFAULTS.get(type(value)) or getattr(value, "identity_defaults", {})
    for field, default in defaults.items():
        if getattr(value, field) == default:
            del content[field]


def digest(content: Any) -> str:
    """Return the first 12 hex digits of the sha256 of JSON content with sorted keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def training_numerics(recipe: Recipe, dataset: DatasetSpec) -> dict[str, int]:
    """Return the versions of the parts of a training, but not of its network."""
    used = {
        "trainer": True,
        "subset": dataset.fraction is not None or dataset.per_class is not None,
        "augmentation": recipe.flip or recipe.crop_padding > 0,
        "autoaugment": recipe.auto_augment != "none",
        "erasing": recipe.erase > 0,
        "mixing": recipe.cutmix > 0 or recipe.mixup > 0,
        "plugin_augmentation": bool(recipe.augmentation),
        "averaging": recipe.ema_decay is not None,
        "compile": recipe.compile is not False,
    }
    return {part: NUMERICS[part] for part, is_used in used.items() if is_used}


def network_numerics(backbone: BackboneSpec, method: Method) -> dict[str, int]:
    """Return the versions of the parts of a network: the backbone's own, and those of the method."""
    used = {
        "spt": method.shift != "none",
        "window": method.window != 1,
        "lsa": method.changes_attention,
        "attention-init": method.initialization != "default",
        "gaussians": method.gaussians > 0,
        "conv-tokenizer": method.embedding != "default",
        "global-pool": method.global_pool != "default",
        "depthwise-mlp": method.mlp != "default",
        "registers": method.registers > 0,
        "kernels": NUMERICS["kernels"] > 1,
    }
    of_method = {part: NUMERICS[part] for part, is_used in used.items() if is_used}
    return {backbone.numerics_part: backbone.numerics_version} | of_method
