"""`slbench list`: names that a study can use."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slbench import user_files
from slbench.cli import options
from slbench.cli.printing import print_json
from slbench.cli.text_layout import terminal_width, two_columns
from slbench.errors import InapplicableError, InputError
from slbench.names import lookup
from slbench.registrations import entry_points, in_file
from slbench.text import plural, shown

if TYPE_CHECKING:
    from slbench.methods import Method
    from slbench.recipes import Recipe


def list_names(
    kind: Annotated[
        str,
        typer.Argument(
            help="What to list: backbones, methods, datasets, augmentations, recipes, studies or schema "
            "(JSON schema of study files).",
            metavar="KIND",
        ),
    ],
    show: Annotated[
        str | None, typer.Option("--show", help="Show one recipe, each value with its source.", metavar="NAME")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option("--study", help="Also list what the plugins of a study register.", metavar="FILE"),
    ] = None,
    plugin: Annotated[
        str | None, typer.Option("--plugin", help="Also list what a file of yours registers.", metavar="FILE")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List backbones, methods, datasets, augmentations, recipes or study files.

    Plugins are read, not run.
    """
    if show is not None:
        if kind != "recipes":
            raise InputError(f"--show: needs the kind recipes (got {shown(kind)}); slbench list recipes --show {show}")
        show_recipe(show, as_json=as_json)
        return
    lookup(dict.fromkeys([*KINDS, "schema"]), kind, "kind", where="list")
    if kind == "schema":
        from slbench.study.schema import study_schema

        print(json.dumps(study_schema(), indent=2, ensure_ascii=False))
        return
    rows = [*KINDS[kind](), *of_plugins(kind, [*plugins_of(study), *([] if plugin is None else [Path(plugin)])])]
    if as_json:
        print_json([{"name": name, "about": about} for name, about in rows])
        return
    for name, about in two_columns(rows, terminal_width()):
        print(f"{name}  {about}")


def backbones() -> list[tuple[str, str]]:
    from slbench.backbones import NAMED

    return [(name, f"{entry.title}; {entry.source}") for name, entry in NAMED.items()]


def methods() -> list[tuple[str, str]]:
    from slbench.methods import METHODS, model_title

    return [
        (name, f"{model_title(first_backbone(method), name)}: {changed_fields(method)}")
        for name, method in METHODS.items()
    ]


def first_backbone(method: "Method") -> str:
    """Return the title of the first backbone that the method applies to."""
    from slbench.backbones import BACKBONES, check_method

    for entry in BACKBONES.values():
        with contextlib.suppress(InapplicableError):
            check_method(entry.spec(), method)
            return entry.title
    raise AssertionError(method)


def changed_fields(method: "Method") -> str:
    """Return the fields that a method changes, as in a study file."""
    from slbench.methods import Method

    plain = Method()
    changed = {field: value for field, value in vars(method).items() if getattr(plain, field, value) != value}
    return ", ".join(f"{field} = {json.dumps(value)}" for field, value in changed.items()) or "the plain backbone"


OWN_DATA = {
    "npz:PATH": "your own: train_images, train_labels, test_images, test_labels; also val_images, val_labels, classes",
    "folder:PATH": "your own: image files in train/CLASS/ and test/CLASS/, or only in CLASS/; also val/CLASS/",
}


def datasets() -> list[tuple[str, str]]:
    from slbench.data import DATASETS, imagenet

    return [
        (
            name,
            f"{entry.spec.num_train:,} / {entry.spec.num_test:,} images, "
            f"{entry.spec.image_size[0]} x {entry.spec.image_size[1]} px, "
            f"{plural(entry.spec.in_channels, 'channel')}, {entry.spec.num_classes} classes; {entry.source}",
        )
        for name, entry in DATASETS.items()
    ] + [(imagenet.NAME, imagenet.ABOUT), *OWN_DATA.items()]


def augmentations() -> list[tuple[str, str]]:
    return [("none", "flip, crop and AutoAugment of the recipe alone")]


def plugins_of(study: str | None) -> list[Path]:
    """Return the plugins that a study names; they are not run, nor is the rest of the study checked."""
    if study is None:
        return []
    from slbench.study.shipped import base_folder, study_path
    from slbench.toml_text import read_toml

    file = study_path(Path(study))
    files = read_toml(file).get("plugins", [])
    if not isinstance(files, list) or not all(isinstance(each, str) for each in files):
        raise InputError(f"{study}: plugins: must be a list of files (got {shown(files)})")
    return [base_folder(file) / Path(each).expanduser() for each in files]


def of_plugins(kind: str, files: Sequence[Path]) -> list[tuple[str, str]]:
    """Return what installed packages and files register of a kind: packages by metadata, files by their syntax."""
    kinds = {"backbones": ("backbone",), "methods": ("tokenizer", "scores"), "datasets": ("dataset",)}
    wanted = kinds.get(kind, ("augmentation",) if kind == "augmentations" else ())
    rows = [
        (
            entry.name,
            f"plugin {entry.value} of {'' if entry.dist is None else f'{entry.dist.name} {entry.dist.version}'}",
        )
        for entry, of_entry in entry_points()
        if set(of_entry) & set(wanted)
    ]
    return rows + [
        (plugin.name, f"plugin {plugin.object}, {plugin.where}")
        for file in files
        for plugin in in_file(user_files.add(file))
        if plugin.kind in wanted
    ]


def recipes() -> list[tuple[str, str]]:
    from slbench.recipes import RECIPES

    return [
        (name, f"{recipe.epochs} epochs, batch {recipe.batch_size}, lr {rate(recipe)}, precision {recipe.precision}")
        for name, recipe in RECIPES.items()
    ]


def rate(recipe: "Recipe") -> str:
    """Return the learning rate, or one per backbone."""
    from slbench.backbones import BACKBONES
    from slbench.recipes import DEFAULT_LR

    if recipe.lr is not None:
        return f"{recipe.lr:g}"
    rates = [f"{entry.lr:g} for {entry.title}" for entry in BACKBONES.values() if entry.lr != DEFAULT_LR]
    return ", ".join([*rates, f"{DEFAULT_LR:g} for the others"])


def show_recipe(name: str, *, as_json: bool) -> None:
    """Print each value of a recipe with its source."""
    from rich.table import Table

    from slbench.cli.terminal import Terminal
    from slbench.recipes import RECIPE_SOURCES, RECIPES

    recipe, sources = lookup(RECIPES, name, "recipe", where="--show"), RECIPE_SOURCES[name]
    values = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    if as_json:
        rows = [{"field": field, "value": value, "source": sources[field]} for field, value in values.items()]
        print_json(rows)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(max_width=24, overflow="fold")  # leaves room for the sources
    table.add_column()
    for field, value in values.items():
        table.add_row(field, rate(recipe) if field == "lr" else json.dumps(value), sources[field])
    Terminal(highlight=False, markup=False).print(table)


def studies() -> list[tuple[str, str]]:
    """Return the shipped studies by name, then the files of this folder and of ./studies; an invalid one with why."""
    from slbench.study import load_study
    from slbench.study.shipped import about, shipped_folder, shipped_studies

    rows = [(name, about(path)) for name, path in shipped_studies().items()]
    here = [path for folder in (Path(), Path("studies")) for path in sorted(folder.glob("*.toml"))]
    for path in here:
        if path.resolve().parent == shipped_folder().resolve() or not is_study(path):
            continue
        try:
            study = load_study(path)
            more = "" if study.seeds is None else f", up to {study.seeds.max} seeds where undecided"
            rows.append((str(path), f"{study.title}; {plural(len(study.runs), 'run')}{more}"))
        except InputError as error:
            rows.append((str(path), f"not valid: {error}"))
    return rows


def is_study(path: Path) -> bool:
    """Return whether a TOML file is meant as a study: those of ./studies, and others that have a grid."""
    from slbench.toml_text import read_toml

    if path.parent.name == "studies":
        return True
    try:
        return "grid" in read_toml(path)
    except (InputError, OSError):
        return False


KINDS = {
    "backbones": backbones,
    "methods": methods,
    "datasets": datasets,
    "augmentations": augmentations,
    "recipes": recipes,
    "studies": studies,
}
