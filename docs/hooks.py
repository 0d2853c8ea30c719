"""MkDocs hooks: tables generated from the code, reference results as images, formulas as MathML."""

import dataclasses
import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from slbench.markdown import markdown_table
from slbench.recipes import RECIPE_SOURCES, RECIPES, Recipe
from slbench.study.schema import Key, study_keys

ROOT = Path(__file__).parent.parent
RESULTS = "results/reference"
SECTIONS = {  # of the keys of a study file, by the part of a path before its first dot
    "": "Keys of the file",
    "seeds": "`seeds`: seeds until decided",
    "report": "`[report]`: the table",
    "contrast": "`[[contrast]]`: questions",
    "statistics": "`[statistics]`: how they are judged",
    "grid": "`[grid]`: axes",
    "recipe": "`recipe.*`: training",
    "method": "`method.*`: methods",
    "backbone": "`backbone.*`: sizes",
    "dataset": "`dataset.*`: data",
    "engine": "`[engine.slurm]`: workers on a cluster",
}
MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog and the pictures of the reference results, which are kept elsewhere in the repository."""
    files.append(File.generated(config, "changelog.md", abs_src_path=str(ROOT / "CHANGELOG.md")))
    for picture in sorted((ROOT / RESULTS).rglob("*.png")):
        files.append(File.generated(config, picture.relative_to(ROOT).as_posix(), abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Insert generated tables; point links to results, which work in a clone too, into the site."""
    for marker, table in GENERATED.items():
        if marker in markdown:
            markdown = markdown.replace(marker, table())
    return markdown.replace(f"](../{RESULTS}/", f"]({RESULTS}/")


def on_page_content(content: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Replace formulas by MathML, which browsers show without a script."""
    return MATH.sub(lambda found: f"<{found[1]}>{mathml(found[2], block=found[1] == 'div')}</{found[1]}>", content)


def mathml(formula: str, *, block: bool) -> str:
    """Return a TeX formula, as HTML escapes it, as MathML."""
    math: str = convert(html.unescape(formula).strip(), display="block" if block else "inline")
    return math


def code(value: object) -> str:
    """Return a value as TOML would write it, as code; – for none."""
    if value is None or value == ():
        return "–"
    if isinstance(value, tuple):
        return ", ".join(map(code, value))
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def recipe_table() -> str:
    """Return two tables of the fields of a recipe: the value in each recipe, and where the values are from."""
    names = [field.name for field in dataclasses.fields(Recipe)]
    values = [[f"`{name}`", *(code(getattr(recipe, name)) for recipe in RECIPES.values())] for name in names]
    sources = [[f"`{name}`", sources_of(name)] for name in names]
    return "\n\n".join(
        [
            markdown_table(["`recipe.`", *(f"`{name}`" for name in RECIPES)], values),
            "Where the values are from; those of `quick` are ours:",
            markdown_table(["`recipe.`", "source"], sources),
        ]
    )


def sources_of(field: str) -> str:
    """Return the sources of a field's values, those that several recipes share once."""
    by_source: dict[str, list[str]] = {}
    for recipe, sources in RECIPE_SOURCES.items():
        if recipe != "quick":
            by_source.setdefault(sources[field], []).append(f"`{recipe}`")
    if len(by_source) == 1:
        return next(iter(by_source))
    return "; ".join(f"{', '.join(recipes)}: {source}" for source, recipes in by_source.items())


def key_tables() -> str:
    """Return a section with a table for each part of a study file."""
    keys: dict[str, list[Key]] = {}
    for key in study_keys():
        keys.setdefault(key.path.partition(".")[0] if "." in key.path else "", []).append(key)
    assert keys.keys() == SECTIONS.keys(), keys.keys() ^ SECTIONS.keys()
    return "\n\n".join(f"### {title}\n\n{key_table(keys[head])}" for head, title in SECTIONS.items())


def key_table(keys: list[Key]) -> str:
    """Return a table of keys, their types, defaults and meanings."""
    rows = [[f"`{key.path}`", type_and_limits(key), plain(key.default), plain(key.description)] for key in keys]
    return markdown_table(["key", "type", "default", "meaning"], rows)


def type_and_limits(key: Key) -> str:
    return plain(f"{key.type}: {key.allowed}" if key.allowed else key.type)


def plain(text: str) -> str:
    """Return text in which Markdown marks nothing up."""
    return re.sub(r"([*_<\[\]`$])", r"\\\1", text)


GENERATED = {"<!-- generated: recipes -->": recipe_table, "<!-- generated: keys -->": key_tables}
