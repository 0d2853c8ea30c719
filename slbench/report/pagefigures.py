"""Figures within a page: SVG that loads nothing, runs nothing, and shares no id with another."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from slbench.errors import InputError

DRAWN = {  # elements that stay; whatever else there is would load, run or restyle the page
    *("svg", "g", "defs", "symbol", "use", "clipPath", "mask", "marker", "pattern", "image"),
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "textPath"),
    *("linearGradient", "radialGradient", "stop"),
}
LENGTH = re.compile(r"[0-9.]+(pt|px|in|%)?")
LINKS = ("href", "src")
JOINS = "stroke-linejoin: round; stroke-linecap: butt"  # matplotlib's style sheet, which here would be the page's


@dataclass(frozen=True)
class PageFigure:
    """A figure of the report."""

    name: str
    caption: str
    svg: str  # as it was saved


def inlined(figure: PageFigure, *, prefix: str) -> str:
    """A figure's SVG as HTML holds it, with title and description.

    Args:
        prefix: of its ids, another for each figure of a page.
    Raises:
        InputError: if it is no SVG.
    """
    try:
        root = ElementTree.fromstring(figure.svg)
    except ElementTree.ParseError as error:
        raise InputError(f"{figure.name}.svg: no SVG: {error}") from error
    if local(root.tag) != "svg":
        raise InputError(f"{figure.name}.svg: no SVG: its root is '{local(root.tag)}'")
    clean(root, prefix)
    width = root.get("width", "")
    root.attrib = {key: value for key, value in root.attrib.items() if key == "viewBox"} | {
        "role": "img",
        "aria-labelledby": f"{prefix}-title {prefix}-desc",
        "style": f"{JOINS}; width: {width if LENGTH.fullmatch(width) else '100%'}",
    }
    for place, (tag, words) in enumerate((("title", figure.name), ("desc", figure.caption))):
        element = ElementTree.Element(tag, {"id": f"{prefix}-{tag}"})
        element.text = words
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode")


def clean(element: ElementTree.Element, prefix: str) -> None:
    """Keep what is drawn, without namespaces, which HTML does not know; ids and references to them get the prefix."""
    element.tag = local(element.tag)
    kept: dict[str, str] = {}
    for name, value in element.attrib.items():
        key = local(name)
        if key in LINKS:
            if value.startswith("#"):
                kept[key] = f"#{prefix}-{value[1:]}"
            elif value.startswith("data:image/png;base64,"):
                kept[key] = value
        elif key == "id":
            kept[key] = f"{prefix}-{value}"
        elif not key.lower().startswith("on") and key != "class":
            kept[key] = re.sub(r"url\(\s*(['\"]?)#", rf"url(\1#{prefix}-", value)
    element.attrib = {key: value for key, value in kept.items() if not loads(value)}
    for child in list(element):
        if isinstance(child.tag, str) and local(child.tag) in DRAWN:
            clean(child, prefix)
        else:
            element.remove(child)


def loads(value: str) -> bool:
    """Whether an attribute names something outside the page."""
    return any(not found.startswith("#") for found in re.findall(r"url\(\s*['\"]?([^)]*)", value))


def local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
