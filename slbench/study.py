"""Study: a TOML file, or the flags that stand for one, checked and expanded into runs."""

import dataclasses
import itertools
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slbench.backbones import BACKBONES, NAMED, Preset
from slbench.backbones.specs import BackboneSpec
from slbench.data import DEFAULT_DATASET, Found, find
from slbench.data.specs import Side
from slbench.errors import InapplicableError, InputError
from slbench.layout import AS_IT_COMES, Layout, check_columns, check_labels
from slbench.methods import METHODS, Method, row_title
from slbench.names import lookup, suggestion
from slbench.recipes import RECIPES, Recipe
from slbench.spec import Protocol, RunSpec
from slbench.store import Keep, Labels
from slbench.validation import Setting, changed, check_label, checked, is_label, shown

T = TypeVar("T")
Value = Any  # of a TOML key

DEFAULT_AXES: dict[str, list[str] | list[int]] = {
    "backbone": ["vit"],
    "dataset": [DEFAULT_DATASET],
    "method": ["none", "spt", "lsa", "both"],
    "seed": [0],
}
ALIASES = {"precision": "recipe.precision"}
LIST_FIELDS = {"recipe.betas", "backbone.dims", "backbone.depths"}  # whose value is a list
EITHER_FIELDS = {  # whose value is a list or a number
    "backbone.num_heads",  # a list on a backbone with stages
    "dataset.image_size",  # [height, width], or the side of a square
}
DATASET_FIELDS = ["image_size", "fraction", "per_class"]  # the others say what the data are
NEEDED_BY = {  # fields of a method that mean something only where another is on
    "shift_ratio": "shift",
    "shift_pixels": "shift",
    "s_pool": "shift",
    "temperature_per": "learn_temperature",
}
ROWS_OF_TABLES = ("backbone", "method", "dataset")  # labels by which a table's layout names them
Seed = Annotated[int, Field(ge=0)]
MOST_SEEDS = 100  # that a rule may add up to
PLAIN = "none"  # the row that others are compared with


class SeedRule(BaseModel):
    """Seeds 0 to min - 1 for every cell, and more, one at a time, where a row and its plain backbone are undecided."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min: Annotated[int, Field(ge=2)]
    max: Annotated[int, Field(le=MOST_SEEDS)]
    until: Literal["decided"]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max <= self.min:
            raise InputError(f"max must be above min, got min = {self.min}, max = {self.max}")
        return self


class StudyFile(BaseModel):
    """The keys of a study file, before names are looked up."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str = ""
    source: str = ""  # of published numbers for the same table: "arXiv:2112.13492 Table 5"
    recipe: str = "quick"
    protocol: Protocol = "holdout"
    precision: str | None = None  # short for set.recipe.precision
    keep: Keep = "last"  # which weights stay
    report: Layout = AS_IT_COMES  # rows and columns of its table
    seeds: Value = None  # a SeedRule, in place of grid.seed
    grid: dict[str, Value] = {}
    set: dict[str, Value] = {}
    method: list[dict[str, Value]] = []
    exclude: list[dict[str, Value]] = []


@dataclass(frozen=True)
class StudyRun:
    """One run of a study, and what the study calls its parts."""

    spec: RunSpec
    labels: Labels

    @property
    def title(self) -> str:
        """One line for a person: "ViT-small both fashion-mnist-12k seed 0 (1a2b3c4d5e6f)"."""
        parts = (self.labels.backbone, self.labels.method, self.labels.dataset, f"seed {self.spec.seed}")
        return f"{' '.join(part for part in parts if part)} ({self.spec.run_id})"

    def at(self, seed: int) -> "StudyRun":
        """The run of the same cell with another seed."""
        return StudyRun(dataclasses.replace(self.spec, seed=seed), self.labels)


@dataclass(frozen=True)
class Comparison:
    """A row and its plain backbone, alike in all else; each as its run with seed 0."""

    row: StudyRun
    plain: StudyRun
    settings: tuple[str, ...]  # of the grid's other axes, "recipe.lr 0.003", if it has any

    @property
    def title(self) -> str:
        """The row for a person: "SL-ViT on cifar100, recipe.lr 0.003"."""
        labels = self.row.labels
        return ", ".join([f"{row_title(labels.backbone, labels.method)} on {labels.dataset}", *self.settings])


@dataclass(frozen=True)
class Study:
    """A checked study: its runs in file order, duplicates merged.

    Where it has a rule of seeds, its runs are those of the first `min` seeds; which others the rule wants follows from
    records: see slbench.grid.further.
    """

    name: str
    title: str
    source: str
    runs: tuple[StudyRun, ...]
    notes: tuple[str, ...]  # what a rule decided and the user should know
    layout: Layout = AS_IT_COMES  # of its table
    seeds: SeedRule | None = None
    comparisons: tuple[Comparison, ...] = ()  # that the rule of seeds decides; none without one


@dataclass(frozen=True)
class Flags:
    """What the command line adds to a study, or says in place of one."""

    grid: Mapping[str, list[Value]] = dataclasses.field(default_factory=dict)  # axes, in place of the file's
    set: Mapping[str, Value] = dataclasses.field(default_factory=dict)  # dotted paths
    recipe: str | None = None
    protocol: str | None = None


def load_study(path: Path, flags: Flags = Flags()) -> Study:
    """The study of a TOML file.

    Raises:
        InputError: for anything wrong in it, as `file: key: what, what was got, what is allowed`.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file{nearby(path)}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    return make_study(content, name=path.stem, where=str(path), flags=flags)


def nearby(path: Path) -> str:
    """A suggestion of study files beside a path that is not there."""
    folder = path.parent if path.parent.is_dir() else Path("studies")
    known = sorted(found.name for found in folder.glob("*.toml"))
    return suggestion(path.name, known) + f" (in {folder})" if known else ""


def make_study(content: Mapping[str, Value], *, name: str, where: str, flags: Flags = Flags()) -> Study:
    """The study of a file's content.

    Args:
        where: what error lines call the content: the file, or "command line".
    """
    file: StudyFile = checked(StudyFile, content, where=where)
    return Expansion(file, where=where, flags=flags).study(name)


class Expansion:
    """Turns a study file and flags into runs."""

    def __init__(self, file: StudyFile, *, where: str, flags: Flags) -> None:
        self.file, self.where, self.flags = file, where, flags
        self.methods = {**METHODS, **self._inline_methods()}
        self.found: dict[tuple[str, tuple[int, int] | None], Found] = {}  # a user's own are looked at once
        self.recipe = (
            self._recipe(flags.recipe, "--recipe") if flags.recipe else self._recipe(file.recipe, f"{where}: recipe")
        )
        self.settings = self._settings()
        self.rule = self._rule()
        self.axes = self._axes()

    def study(self, name: str) -> Study:
        """Every cell of the grid that means something, resolved; equal runs once.

        Raises:
            InapplicableError: if no cell means something.
        """
        runs: dict[str, StudyRun] = {}
        meant, notes, refused = list[str](), list[str](), list[InapplicableError]()
        resolved = list[tuple[dict[str, Setting], StudyRun]]()
        for cell in self._cells():
            settings = {**self.settings, **cell}
            try:
                run, said = self._resolve(settings)
                meant.append(run.spec.run_id)
                resolved.append((cell, runs.setdefault(run.spec.run_id, run)))
            except InapplicableError as error:
                refused.append(error)
                plain = self._plain(settings)
                said = [f"left out: {error}"] if plain is None else plain[1]
                if plain is not None:
                    runs.setdefault(plain[0].spec.run_id, plain[0])
            notes += said
        if refused and not meant:
            raise InapplicableError(f"{self.where}: {refused[0]}") from refused[0]
        if not runs:
            raise InputError(f"{self.where}: exclude: leaves no run of the grid")
        check_names_of_data(runs.values(), self.where)
        if len(meant) > len(set(meant)):
            notes.append(
                f"{len(meant)} cells of the grid are {len(set(meant))} different runs: equal ones are made once"
            )
        self._check_layout(runs.values())
        return Study(
            name,
            self.file.title,
            self.file.source,
            tuple(runs.values()),
            tuple(dict.fromkeys(notes)),
            layout=self.file.report,
            seeds=self.rule,
            comparisons=self._comparisons(resolved) if self.rule is not None else (),
        )

    def _check_layout(self, runs: Iterable[StudyRun]) -> None:
        """Raise InputError for a column that there is not; for a row or data set too, if the grid is all the file's."""
        check_columns(self.file.report.columns, f"{self.where}: report.columns")
        if not self.flags.grid:
            known = {key: list(dict.fromkeys(getattr(run.labels, key) for run in runs)) for key in ROWS_OF_TABLES}
            check_labels(self.file.report, known, self.where)

    def _comparisons(self, resolved: Iterable[tuple[dict[str, Setting], StudyRun]]) -> tuple[Comparison, ...]:
        """Each row beside row "none" at the same values of all other axes; equal pairs once, and none with itself.

        Raises:
            InputError: for a row without its "none", and if nothing is left to compare.
        """
        first = [(cell, run) for cell, run in resolved if run.spec.seed == 0]
        plain = {beside(cell): run for cell, run in first if cell["method"].value == PLAIN}
        found = dict[tuple[str, str], Comparison]()
        for cell, run in first:
            other = plain.get(beside(cell))
            if other is None:
                raise InputError(
                    f"{self.where}: seeds: row '{cell['method'].value}' of {run.labels.backbone} on "
                    f"{run.labels.dataset} has no row '{PLAIN}' to be compared with: add it to grid.method, or give a "
                    "fixed number of seeds, grid.seed or --seeds N"
                )
            if run.spec != other.spec:
                pair = Comparison(run, other, self._other_axes(cell))
                found.setdefault((run.spec.run_id, other.spec.run_id), pair)
        if not found:
            raise InputError(
                f"{self.where}: seeds: no row is left to be compared with '{PLAIN}': give a fixed number of seeds, "
                "grid.seed or --seeds N"
            )
        return tuple(found.values())

    def _other_axes(self, cell: Mapping[str, Setting]) -> tuple[str, ...]:
        """A cell's values on axes of several, but for those that labels name and the seed."""
        several = [path for path, values in self.axes.items() if len(values) > 1 and path not in DEFAULT_AXES]
        return tuple(f"{path} {shown(cell[path].value)}" for path in several)

    def _rule(self) -> SeedRule | None:
        """The rule of seeds, unless flags give seeds in its place."""
        given, origin = self.file.seeds, f"{self.where}: seeds"
        if given is None:
            return None
        if not isinstance(given, dict):
            raise InputError(
                f'{origin}: must be a rule such as {{ min = 3, max = 10, until = "decided" }}, got {shown(given)}; '
                "fixed seeds are grid.seed = [0, 1, 2]"
            )
        rule: SeedRule = checked(SeedRule, given, where=origin)
        if "seed" in self.file.grid:
            raise InputError(f"{origin}: also set by {self.where}: grid.seed: keep one of the two")
        if any("seed" in table for table in self.file.exclude):
            raise InputError(f"{self.where}: exclude: 'seed' is what the rule of {origin} decides: keep one of the two")
        return None if "seed" in self.flags.grid else rule

    def _plain(self, settings: Mapping[str, Setting]) -> tuple[StudyRun, list[str]] | None:
        """The plain run in place of a cell, and a note, where no row means anything on its backbone."""
        backbone, label = self._backbone(settings["backbone"], under("backbone", settings))
        if BACKBONES[backbone.name].tokens != "none":
            return None
        without_row = {path: setting for path, setting in settings.items() if not path.startswith("method.")}
        run, said = self._resolve({**without_row, "method": Setting("none", settings["method"].origin)})
        return run, [*said, f"{label} runs as 'none' only: it has neither tokens nor attention"]

    def _recipe(self, name: str, origin: str) -> Recipe:
        try:
            return lookup(RECIPES, name, "recipe")
        except InputError as error:
            raise InputError(f"{origin}: {error}") from error

    def _inline_methods(self) -> dict[str, Method]:
        rows: dict[str, Method] = {}
        for number, table in enumerate(self.file.method):
            origin = f"{self.where}: method[{number}]"
            name = table.get("name")
            if not isinstance(name, str):
                raise InputError(f"{origin}: needs a name in quotes, got {name!r}")
            check_label(name, origin)
            if name in METHODS:
                raise InputError(f"{origin}: '{name}' is a row that slbench ships; give yours another name")
            if name in rows:
                raise InputError(f"{origin}: '{name}' is defined twice")
            values = {key: value for key, value in table.items() if key != "name"}
            rows[name] = checked(Method, values, where=f"{self.where}: method '{name}'")
        return rows

    def _settings(self) -> dict[str, Setting]:
        """Every override by dotted path; a flag wins over the file."""
        of_file = {
            path: Setting(value, f"{self.where}: set.{path}") for path, value in flattened(self.file.set).items()
        }
        of_flags = {path: Setting(value, f"--set {path}") for path, value in self.flags.set.items()}
        for path, setting in [*of_file.items(), *of_flags.items()]:
            check_path(path, setting.origin, known=[*ALIASES, "protocol", *dotted_paths()])
            if isinstance(setting.value, list) and path not in LIST_FIELDS | EITHER_FIELDS:
                raise InputError(f"{setting.origin}: a list makes an axis: write it under [grid] of a study file")
        of_file, of_flags = by_full_path(of_file), by_full_path(of_flags)
        if self.file.precision is not None:
            if "recipe.precision" in of_file:
                other = of_file["recipe.precision"].origin
                raise InputError(f"{self.where}: precision: also set by {other}: keep one of the two")
            of_file["recipe.precision"] = Setting(self.file.precision, f"{self.where}: precision")
        of_file.setdefault("protocol", Setting(self.file.protocol, f"{self.where}: protocol"))
        if self.flags.protocol is not None:
            of_flags["protocol"] = Setting(self.flags.protocol, "--protocol")
        return {**of_file, **of_flags}

    def _axes(self) -> dict[str, list[Setting]]:
        """Values of each axis: those of the file in its order, then those of flags, then defaults."""
        given = {**self.file.grid, **self.flags.grid}
        axes: dict[str, list[Setting]] = {}
        defaults = {key: value for key, value in DEFAULT_AXES.items() if key not in given}
        if self.rule is not None:
            defaults["seed"] = list(range(self.rule.min))
        for path, value in {**given, **defaults}.items():
            origin = f"--{path}" if path in self.flags.grid else f"{self.where}: grid.{quoted(path)}"
            if path == "seeds":
                raise InputError(
                    f"{origin}: a rule of seeds stands above [grid]; fixed seeds are grid.seed = [0, 1, 2]"
                )
            check_path(path, origin, known=[*DEFAULT_AXES, "recipe", "protocol", *ALIASES, *dotted_paths()])
            entries = value if is_axis(path, value) else [value]
            if not entries:
                raise InputError(f"{origin}: an empty list leaves no run: give at least one value or drop the key")
            axis = ALIASES.get(path, path)
            if axis == "recipe" and self.flags.recipe:
                raise InputError(f"{origin}: also set by --recipe: keep one of the two")
            if axis in self.settings and (axis != "protocol" or self.settings[axis].origin == "--protocol"):
                raise InputError(f"{origin}: also set by {self.settings[axis].origin}: keep one of the two")
            axes[axis] = [Setting(entry, origin) for entry in entries]
        return axes

    def _cells(self) -> Iterable[dict[str, Setting]]:
        """The product of the axes, less what is excluded. An exclusion that matches nothing is an error."""
        for table in self.file.exclude:
            for key in table:
                if ALIASES.get(key, key) not in self.axes:
                    raise InputError(
                        f"{self.where}: exclude: '{key}' is no axis of this grid{suggestion(key, self.axes)}"
                    )
        unused = dict(enumerate(self.file.exclude))
        for combination in itertools.product(*self.axes.values()):
            cell = dict(zip(self.axes, combination, strict=True))
            matching = [number for number, table in enumerate(self.file.exclude) if matches(cell, table)]
            for number in matching:
                unused.pop(number, None)
            if not matching:
                yield cell
        if unused and not self.flags.grid:
            first = json.dumps(next(iter(unused.values())), default=str)
            raise InputError(f"{self.where}: exclude: {first} matches no cell of the grid")

    def _resolve(self, settings: Mapping[str, Setting]) -> tuple[StudyRun, list[str]]:
        """The run of one cell's settings, and what rules decided in it."""
        backbone, backbone_label = self._backbone(settings["backbone"], under("backbone", settings))
        method_name, dataset_name = settings["method"], settings["dataset"]
        method, notes = self._method(method_name, under("method", settings))
        recipe = (
            self._recipe(settings["recipe"].value, settings["recipe"].origin) if "recipe" in settings else self.recipe
        )
        recipe = changed(recipe, under("recipe", settings), where=f"{self.where}: recipe")
        dataset = self._dataset(dataset_name, under("dataset", settings))
        protocol: Protocol = checked(Protocol, settings["protocol"].value, where=settings["protocol"].origin)
        seed: int = checked(Seed, settings["seed"].value, where=settings["seed"].origin)
        labels = Labels(
            backbone=backbone_label,
            method=method_name.value,
            dataset=dataset.label,
            data=dataset.source,
            keep=self.file.keep,
        )
        if labels.keep == "best" and protocol != "holdout":
            raise InputError(
                f"{self.where}: keep: 'best' is chosen by validation accuracy, and protocol '{protocol}' validates "
                "nothing: take 'last', 'none' or protocol 'holdout'"
            )
        try:
            spec = RunSpec.resolve(
                backbone=backbone, method=method, dataset=dataset.spec, recipe=recipe, protocol=protocol, seed=seed
            )
        except InapplicableError as error:
            raise InapplicableError(f"{labels.backbone}, {labels.method}: {error}") from error
        except InputError as error:
            raise InputError(f"{self.where}: {labels.backbone}, {labels.method}, {labels.dataset}: {error}") from error
        return StudyRun(spec, labels), notes + rule_notes(backbone, spec)

    def _dataset(self, entry: Setting, changes: Mapping[str, Setting]) -> Found:
        """A data set from its name or the path of a user's own, changed by what a study may change of it."""
        if not isinstance(entry.value, str):
            raise InputError(f"{entry.origin}: must be the name of a data set in quotes, got {shown(entry.value)}")
        if isinstance(side := getattr(changes.get("image_size"), "value", None), int):
            changes = {**changes, "image_size": Setting([side, side], changes["image_size"].origin)}
        size = changes.get("image_size")
        pair = None if size is None else checked(tuple[Side, Side], size.value, where=size.origin)
        if (entry.value, pair) not in self.found:
            try:
                self.found[entry.value, pair] = find(entry.value, image_size=pair)
            except InputError as error:
                raise InputError(f"{entry.origin}: {error}") from error
        found = self.found[entry.value, pair]
        label = found.label if is_label(found.label) else entry.value.partition(":")[0] + "-" + found.label
        spec = changed(found.spec, changes, where=f"{self.where}: data set '{label}'")
        return Found(spec, label, found.source)

    def _backbone(self, entry: Setting, changes: Mapping[str, Setting]) -> tuple[BackboneSpec, str]:
        """A backbone's sizes and its label, from a name or an inline table."""
        table = dict(entry.value) if isinstance(entry.value, dict) else {"name": entry.value}
        known = named(NAMED, Setting(table.get("name"), entry.origin), "backbone")
        label = table.pop("label", known.title if len(table) == 1 else table["name"])
        check_label(label, f"{entry.origin}: label")
        if isinstance(known, Preset):
            table = dataclasses.asdict(known.spec) | table | {"name": known.spec.name}
        kind = type(known.spec) if isinstance(known, Preset) else known.spec
        return changed(checked(kind, table, where=entry.origin), changes, where=entry.origin), label

    def _method(self, entry: Setting, changes: Mapping[str, Setting]) -> tuple[Method, list[str]]:
        """A row, changed by what means something for it, and notes on what does not."""
        row = named(self.methods, entry, "method")
        meant, notes = {}, []
        for field, setting in changes.items():
            needed = NEEDED_BY.get(field)
            if needed and (changes[needed].value if needed in changes else getattr(row, needed)) in ("none", False):
                notes.append(f"method.{field} means nothing for '{entry.value}', which has no {needed}: left out there")
            else:
                meant[field] = setting
        if "shift_ratio" in meant or "shift_pixels" in meant:
            row = dataclasses.replace(row, shift_ratio=None, shift_pixels=None)
        return changed(row, meant, where=f"{self.where}: method '{entry.value}'"), notes


def beside(cell: Mapping[str, Setting]) -> str:
    """The same for cells that differ in row and seed alone."""
    return json.dumps(
        {path: entry.value for path, entry in cell.items() if path not in ("method", "seed")}, default=str
    )


def check_names_of_data(runs: Iterable[StudyRun], where: str) -> None:
    """Raise InputError if two different data sets would stand under one name in a table."""
    sources: dict[str, str] = {}
    for run in runs:  # equal data from two files are equal runs, of which one is left here
        if sources.setdefault(run.labels.dataset, run.labels.data) != run.labels.data:
            both = f"{sources[run.labels.dataset]} and {run.labels.data}"
            raise InputError(f"{where}: two different data sets are called '{run.labels.dataset}', {both}: rename one")


def is_axis(path: str, value: Value) -> bool:
    """Whether a list under [grid] holds the values of an axis, and is not one value itself."""
    if path in LIST_FIELDS:
        return isinstance(value, list) and all(isinstance(entry, list) for entry in value)
    return isinstance(value, list)


def rule_notes(backbone: BackboneSpec, spec: RunSpec) -> list[str]:
    """What rules decided for a run that its user might not expect."""
    notes = []
    height, width = spec.dataset.image_size
    given, patch = getattr(backbone, "patch_size", None), getattr(spec.backbone, "patch_size", None)
    share = getattr(backbone, "tokens_per_side", 1)
    if given is None and patch is not None and patch != min(height, width) / share:
        share_word = {8: "an eighth", 16: "a sixteenth"}[share]
        notes.append(f"patch {patch} px: {share_word} of {height} x {width} px, rounded to a divisor")
    asked = round(spec.recipe.warmup_epochs * spec.steps_per_epoch)
    steps = spec.recipe.warmup_steps(spec.steps_per_epoch)
    if steps < asked:
        notes.append(f"warm-up shortened from {asked} to {steps} steps, a tenth of the run")
    return notes


def under(head: str, settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings below a head: {"lr": ...} of {"recipe.lr": ...}."""
    return {path.partition(".")[2]: setting for path, setting in settings.items() if path.startswith(head + ".")}


def named(table: Mapping[str, T], entry: Setting, kind: str) -> T:
    """`lookup` for a value that a person wrote somewhere."""
    if not isinstance(entry.value, str):
        raise InputError(f"{entry.origin}: must be the name of a {kind} in quotes, got {shown(entry.value)}")
    try:
        return lookup(table, entry.value, kind)
    except InputError as error:
        raise InputError(f"{entry.origin}: {error}") from error


def by_full_path(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings under the paths that short names stand for."""
    return {ALIASES.get(path, path): setting for path, setting in settings.items()}


def matches(cell: Mapping[str, Setting], table: Mapping[str, Value]) -> bool:
    """Whether a cell has all the values of an `[[exclude]]` table; a list there means any of them."""

    def same(value: Value, wanted: Value) -> bool:
        if isinstance(value, dict):
            value = value.get("label", value.get("name"))
        return value in wanted if isinstance(wanted, list) else bool(value == wanted)

    return all(same(cell[ALIASES.get(key, key)].value, wanted) for key, wanted in table.items())


def flattened(nested: Mapping[str, Value], head: str = "") -> dict[str, Value]:
    """Dotted paths of nested tables: {"recipe": {"lr": 1}} and {"recipe.lr": 1} are the same."""
    flat: dict[str, Value] = {}
    for key, value in nested.items():
        flat |= flattened(value, f"{head}{key}.") if isinstance(value, dict) else {head + key: value}
    return flat


def dotted_paths() -> list[str]:
    """Every field of a run that a study can set, as a dotted path."""
    backbone_fields = {field.name: None for entry in BACKBONES.values() for field in dataclasses.fields(entry.spec)}
    fields = {
        "recipe": [field.name for field in dataclasses.fields(Recipe)],
        "method": [field.name for field in dataclasses.fields(Method)],
        "backbone": [name for name in backbone_fields if name != "name"],
        "dataset": DATASET_FIELDS,
    }
    return [f"{head}.{name}" for head, names in fields.items() for name in names]


def check_path(path: str, origin: str, *, known: list[str]) -> None:
    """Raise InputError, with a suggestion, unless the path is known."""
    if path not in known:
        head = path.partition(".")[0] + "."
        known = [other for other in known if other.startswith(head)] or known
        raise InputError(f"{origin}: unknown key '{path}'{suggestion(path, known)}")


def quoted(path: str) -> str:
    """A key as TOML writes it."""
    return f'"{path}"' if "." in path else path
