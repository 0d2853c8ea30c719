"""SVG inside a page: figures that load nothing, run nothing and share no id; charts of learning curves."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from slbench.errors import InputError
from slbench.report.html.curves import SERIES, LearningCurve

ALLOWED = {  # elements; any other could load, run or restyle something
    *("svg", "g", "defs", "symbol", "use", "clipPath", "mask", "marker", "pattern", "image"),
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "textPath"),
    *("linearGradient", "radialGradient", "stop"),
}
LENGTH = re.compile(r"[0-9.]+(pt|px|in|%)?")
LINKS = ("href", "src")
JOINS = "stroke-linejoin: round; stroke-linecap: butt"  # of matplotlib's style sheet, which is not copied


@dataclass(frozen=True)
class PageFigure:
    """A figure of the report, as matplotlib saved it."""

    name: str
    caption: str
    svg: str


def inline_figure(figure: PageFigure, *, prefix: str) -> str:
    """Return the SVG of a figure as an element of HTML, with title and description.

    Args:
        prefix: of all ids in it; different for each figure of a page.
    Raises:
        InputError: if the file is no SVG.
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
    """Remove what could load or run; drop namespaces, which HTML does not know; prefix ids and references to them."""
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
        if isinstance(child.tag, str) and local(child.tag) in ALLOWED:
            clean(child, prefix)
        else:
            element.remove(child)


def loads(value: str) -> bool:
    """Return whether an attribute refers to something outside the page."""
    return any(not found.startswith("#") for found in re.findall(r"url\(\s*['\"]?([^)]*)", value))


def local(name: str) -> str:
    """Return a name without its namespace."""
    return name.rpartition("}")[2]


WIDTH, HEIGHT = 840, 460  # of a chart, in units of its view box: half a pixel
LEFT, RIGHT, TOP, BOTTOM = 90, 812, 16, 392  # of the area between its axes


def line_chart(title: str, curves: Sequence[LearningCurve], names: Sequence[str]) -> str:
    """Return a figure with these series of some runs by epoch, a line each; empty if no run has a value.

    Args:
        names: of SERIES.
    """
    lines = [(name, curve.epochs, curve.values[name]) for curve in curves for name in names if name in curve.values]
    values = [value for _, _, line in lines for value in line if value is not None]
    if not values:
        return ""
    first, last = min(epochs[0] for _, epochs, _ in lines), max(epochs[-1] for _, epochs, _ in lines)
    across = axis(first, last, LEFT, RIGHT)
    up = axis(min(values), max(values), BOTTOM, TOP)
    shown = [name for name in names if any(name == each for each, _, _ in lines)]
    keys = " ".join(f'<span class="key {SERIES[name].split}">{SERIES[name].label}</span>' for name in shown)
    faint = " faint" if len(curves) > 1 else ""
    drawn = ""
    for name, epochs, line in lines:
        path = path_data(epochs, line, across, up)
        dot = "" if "l" in path else " dot"
        drawn += f'<path class="series {SERIES[name].split}{faint}{dot}" d="{path}"/>'
    heights = [(up(value), label) for value, label in ticks(min(values), max(values))]
    grid = "".join(f"M{LEFT} {height}H{RIGHT}" for height, _ in heights)
    left = "".join(f'<text x="{LEFT - 10}" y="{height + 8}">{label}</text>' for height, label in heights)
    below = "".join(f'<text x="{across(at)}" y="{BOTTOM + 28}">{label}</text>' for at, label in ticks(first, last, 1))
    return (
        f'<figure><figcaption>{title} {keys}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title} by epoch: {", ".join(SERIES[name].label for name in shown)}">'
        f'<path class="grid" d="{grid}"/><path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>{drawn}'
        f'<g class="left">{left}</g><g class="epochs">{below}<text x="450" y="{HEIGHT - 6}">epoch</text></g>'
        "</svg></figure>"
    )


def axis(low: float, high: float, start: int, end: int) -> Callable[[float], int]:
    """Return the function from values to places along an axis; the only value of a range is in its middle."""
    return lambda value: round(start + (end - start) * ((value - low) / (high - low) if high > low else 0.5))


def path_data(
    epochs: Sequence[int], values: Sequence[float | None], across: Callable[[float], int], up: Callable[[float], int]
) -> str:
    """Return the path of a line, interrupted where there is no value; a lone value is a dot."""
    steps, last = list[str](), None
    for epoch, value in zip(epochs, values, strict=True):
        if value is None:
            last = None
            continue
        x, y = across(epoch), up(value)
        steps.append(f"M{x} {y}h0" if last is None else f"l{x - last[0]} {y - last[1]}".replace(" -", "-"))
        last = x, y
    return "".join(steps)


def ticks(low: float, high: float, least: float = 0.0) -> list[tuple[float, str]]:
    """Return some five round numbers of a range, at least `least` apart, with their labels."""
    rough = max((high - low) / 5, least) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [(number * step, f"{number * step:.{digits}f}") for number in numbers]
