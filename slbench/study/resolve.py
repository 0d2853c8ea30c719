"""Resolve a cell of a grid into a run: names, defaults, and notes on automatic choices."""

import dataclasses
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from slbench.backbones import NAMED, Preset, backbone_entry
from slbench.backbones.specs import BackboneSpec, is_foreign
from slbench.backbones.specs.foreign import (
    FORMS,
    PACKAGES,
    foreign_spec,
    foreign_title,
    models_of,
    plugin_spec,
)
from slbench.data import DataConfig, ResolvedDataset, find
from slbench.data.specs import MAX_SEED, Side
from slbench.errors import InapplicableError, InputError
from slbench.methods import METHODS, Method
from slbench.recipes import RECIPES, Recipe
from slbench.record import Labels
from slbench.registrations import Kind, Registered, reference, registered
from slbench.spec import Protocol, RunSpec
from slbench.study.file import Flags, StudyFile
from slbench.study.paths import named, under
from slbench.study.runs import StudyRun
from slbench.text import choices, plural, shown
from slbench.validation import Override, changed, check_label, checked, is_label

NEEDED_BY = {  # fields of a method that need another to be on
    "shift_ratio": "shift",
    "shift_pixels": "shift",
    "s_pool": "shift",
    "temperature_per": "learn_temperature",
}
METHOD_PARTS: dict[str, Kind] = {"own_tokenizer": "tokenizer", "own_scores": "scores"}  # fields that name plugins
RECIPE_PARTS: dict[str, Kind] = {"augmentation": "augmentation"}
T = TypeVar("T", Method, Recipe)
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Resolver:
    """Resolver of settings by dotted path into runs."""

    def __init__(self, file: StudyFile, *, where: str, folder: Path, flags: Flags) -> None:
        """
        Args:
            folder: of the study file, where its relative paths start.
            flags: their recipe replaces the file's.
        """
        self.file, self.where, self.folder, self.flags = file, where, folder, flags
        self.data = flags.data or DataConfig.read()
        self.plugins = self._registered()
        self.methods = {**METHODS, **self._plugin_methods(), **self._inline_methods()}
        self.method_labels = self._method_labels()  # by name; what tables call a method
        self.datasets: dict[tuple[str, tuple[int, int] | None], ResolvedDataset] = {}  # read once
        recipe = flags.recipe
        chosen = Override(recipe, "--recipe") if recipe else Override(file.recipe, f"{where}: recipe")
        self.recipe = named(RECIPES, chosen, "recipe")

    def run(self, settings: Mapping[str, Override]) -> tuple[StudyRun, list[str]]:
        """Return the run of a cell's settings, and notes on automatic choices."""
        backbone, backbone_label = self._backbone(settings["backbone"], under("backbone", settings))
        method_name, dataset_name = settings["method"], settings["dataset"]
        method, notes = self._method(method_name, under("method", settings))
        method = self._with_references(method, METHOD_PARTS, f"{self.where}: method '{method_name.value}'")
        recipe = named(RECIPES, settings["recipe"], "recipe") if "recipe" in settings else self.recipe
        recipe = changed(recipe, under("recipe", settings), where=f"{self.where}: recipe")
        recipe = self._with_references(recipe, RECIPE_PARTS, f"{self.where}: recipe")
        dataset = self._dataset(dataset_name, under("dataset", settings))
        protocol: Protocol = checked(Protocol, settings["protocol"].value, where=settings["protocol"].origin)
        seed: int = checked(Seed, settings["seed"].value, where=settings["seed"].origin)
        labels = Labels(
            backbone=backbone_label,
            method=self.method_labels.get(method_name.value, method_name.value),
            dataset=dataset.label,
            data=dataset.source,
            keep=self.file.keep,
        )
        if labels.keep == "best" and protocol != "holdout":
            raise InputError(
                f"{self.where}: keep: needs validation images, which protocol '{protocol}' lacks (got 'best'); "
                "allowed: last, none, or protocol holdout"
            )
        try:
            spec = RunSpec.resolve(
                backbone=backbone,
                method=method,
                dataset=dataset.spec,
                recipe=recipe,
                protocol=protocol,
                seed=seed,
                methods=self.methods,
            )
        except InapplicableError as error:
            raise InapplicableError(f"{labels.backbone}, {labels.method}: {error}") from error
        except InputError as error:
            raise InputError(f"{self.where}: {labels.backbone}, {labels.method}, {labels.dataset}: {error}") from error
        patch_note = backbone.patch_note(spec.dataset.image_size)
        return StudyRun(spec, labels, self.data), [*notes, *filter(None, [patch_note]), *warmup_notes(spec)]

    def plain(self, settings: Mapping[str, Override]) -> tuple[StudyRun, list[str]] | None:
        """Return the plain run and a note for a backbone that no method applies to, else None."""
        backbone, label = self._backbone(settings["backbone"], under("backbone", settings))
        if backbone_entry(backbone.name).tokens != "none":
            return None
        without_method = {path: setting for path, setting in settings.items() if not path.startswith("method.")}
        run, notes = self.run({**without_method, "method": Override("none", settings["method"].origin)})
        return run, [*notes, f"{label} runs only as 'none': no tokens, no attention"]

    def _registered(self) -> Registered:
        """Return what installed packages and the plugins of the study register."""
        try:
            files = [self.folder / Path(path).expanduser() for path in self.file.plugins]
            return registered([*files, *map(Path, self.flags.plugins)])
        except InputError as error:
            raise InputError(f"{self.where}: plugins: {error}") from error

    def _plugin_methods(self) -> dict[str, Method]:
        """Return the methods that plugins register by a tokenizer, by scores, or by both of one name."""
        tables: dict[str, dict[str, Any]] = {}
        for (kind, name), plugin in self.plugins.items():
            if kind in METHOD_PARTS.values():
                if name in METHODS:
                    raise InputError(f"{plugin.where}: also the name of a method of slbench (got {shown(name)})")
                part = next(field for field, of_kind in METHOD_PARTS.items() if of_kind == kind)
                tables.setdefault(name, {}).update({**plugin.fields, part: plugin.reference})
        where = {name: plugin.where for (kind, name), plugin in self.plugins.items()}
        return {name: checked(Method, table, where=where[name]) for name, table in tables.items()}

    def _with_references(self, value: T, parts: Mapping[str, Kind], where: str) -> T:
        """Return a method or recipe with the names of plugins replaced by references to their content."""
        found: dict[str, Any] = {
            field: reference(self.plugins, kind, name, where=f"{where}: {field}")
            for field, kind in parts.items()
            if (name := getattr(value, field))
        }
        return dataclasses.replace(value, **found)

    def _inline_methods(self) -> dict[str, Method]:
        methods: dict[str, Method] = {}
        for number, table in enumerate(self.file.method):
            origin = f"{self.where}: method[{number}]"
            name = table.get("name")
            if not isinstance(name, str):
                raise InputError(f"{origin}: name: must be text in quotes (got {shown(name)})")
            check_label(name, origin)
            if name in METHODS:
                raise InputError(
                    f"{origin}: name: also the name of a method of slbench (got {shown(name)}); choose another"
                )
            if name in methods:
                raise InputError(f"{origin}: name: defined twice (got {shown(name)}); choose another")
            values = {key: value for key, value in table.items() if key not in ("name", "label")}
            methods[name] = checked(Method, values, where=f"{self.where}: method '{name}'")
        return methods

    def _method_labels(self) -> dict[str, str]:
        """Return the labels that methods of the file have; they enter no run id."""
        labels: dict[str, str] = {}
        for number, table in enumerate(self.file.method):
            if "label" not in table:
                continue
            origin, label = f"{self.where}: method[{number}]: label", table["label"]
            check_label(label, origin)
            others = [name for name in self.methods if name != table["name"]]
            if label in (*others, *labels.values()):
                raise InputError(
                    f"{origin}: also the name or label of another method (got {shown(label)}); choose another"
                )
            labels[table["name"]] = label
        return labels

    def _dataset(self, entry: Override, changes: Mapping[str, Override]) -> ResolvedDataset:
        """Return a data set by name or by npz:PATH or folder:PATH, with the changes of the study."""
        if not isinstance(entry.value, str):
            raise InputError(f"{entry.origin}: must be the name of a data set in quotes (got {shown(entry.value)})")
        if isinstance(side := getattr(changes.get("image_size"), "value", None), int):
            changes = {**changes, "image_size": Override([side, side], changes["image_size"].origin)}
        size = changes.get("image_size")
        pair = None if size is None else checked(tuple[Side, Side], size.value, where=size.origin)
        if (entry.value, pair) not in self.datasets:
            plugin = self.plugins.get(("dataset", entry.value))
            name = entry.value if plugin is None else f"plugin:{plugin.reference}"
            try:
                found = find(name, image_size=pair, config=self.data)
                self.datasets[entry.value, pair] = (
                    found if plugin is None else dataclasses.replace(found, label=entry.value)
                )
            except InputError as error:
                raise InputError(f"{entry.origin}: {error}") from error
        dataset = self.datasets[entry.value, pair]
        label = dataset.label if is_label(dataset.label) else entry.value.partition(":")[0] + "-" + dataset.label
        spec = changed(dataset.spec, changes, where=f"{self.where}: data set '{label}'")
        return ResolvedDataset(spec, label, dataset.source)

    def _backbone(self, entry: Override, changes: Mapping[str, Override]) -> tuple[BackboneSpec, str]:
        """Return a backbone's sizes and its label, from a name or an inline table."""
        table = dict(entry.value) if isinstance(entry.value, dict) else {"name": entry.value}
        name = table.get("name")
        if isinstance(name, str) and (is_foreign(name) or ("backbone", name) in self.plugins):
            return self._foreign(entry, table, changes)
        if isinstance(name, str) and name not in NAMED:
            plugins = [registered for kind, registered in self.plugins if kind == "backbone"]
            raise InputError(f"{entry.origin}: unknown backbone (got {shown(name)}){suggestion(name, plugins)}")
        known = named(NAMED, Override(name, entry.origin), "backbone")
        label = table.pop("label", known.title if len(table) == 1 else table["name"])
        check_label(label, f"{entry.origin}: label")
        if isinstance(known, Preset):
            table = dataclasses.asdict(known.sizes) | table | {"name": known.sizes.name}
        return changed(checked(known.spec, table, where=entry.origin), changes, where=entry.origin), label

    def _foreign(
        self, entry: Override, table: dict[str, Any], changes: Mapping[str, Override]
    ) -> tuple[BackboneSpec, str]:
        """Return a model of another package or of a user's file, and its label.

        The settings of a study that are fields of a backbone are keyword arguments of its constructor here.
        """
        label = table.pop("label", None) or foreign_title(table)
        check_label(label, f"{entry.origin}: label")
        folder = Path.cwd() if entry.origin.startswith("--") else self.folder
        table |= {field: setting.value for field, setting in changes.items()}
        plugin = self.plugins.get(("backbone", table["name"]))
        if plugin is not None:
            return plugin_spec(plugin, table, where=entry.origin, folder=folder), label
        return foreign_spec(table, where=entry.origin, folder=folder), label

    def _method(self, entry: Override, changes: Mapping[str, Override]) -> tuple[Method, list[str]]:
        """Return a method with the applicable changes, and notes on the others."""
        method = named(self.methods, entry, "method")
        meant, notes = {}, []
        for field, setting in changes.items():
            needed = NEEDED_BY.get(field)
            if needed and (changes[needed].value if needed in changes else getattr(method, needed)) in ("none", False):
                notes.append(f"method.{field} is ignored for '{entry.value}', which has no {needed}")
            else:
                meant[field] = setting
        if "shift_ratio" in meant or "shift_pixels" in meant:
            method = dataclasses.replace(method, shift_ratio=None, shift_pixels=None)
        return changed(method, meant, where=f"{self.where}: method '{entry.value}'"), notes


def suggestion(name: str, plugins: Iterable[str]) -> str:
    """Return the end of an error line on an unknown backbone: what is allowed, and the closest name anywhere.

    Names are those of backbones, presets and plugins, then of the installed timm and torchvision.
    """
    here = [*NAMED, *plugins]
    elsewhere = {model: f"{package}:{model}" for package in reversed(PACKAGES) for model in models_of(package)}
    close = get_close_matches(name, [*here, *elsewhere], n=1)
    hint = f"; did you mean '{elsewhere.get(close[0], close[0])}'?" if close else ""
    return f"{choices([*here, *FORMS])}{hint}"


def warmup_notes(spec: RunSpec) -> list[str]:
    """Return a note if the warm-up of a run is shortened."""
    requested = round(spec.recipe.warmup_epochs * spec.steps_per_epoch)
    steps = spec.recipe.warmup_steps(spec.steps_per_epoch)
    if steps >= requested:
        return []
    return [f"warm-up shortened from {requested} to {plural(steps, 'step')}, a tenth of the run"]
