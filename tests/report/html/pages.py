"""Helpers for tests of the page: the page of a study, parsed into a tree of elements."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from slbench.record import Failure
from slbench.report.html.page import PageFigure, page
from slbench.report.inputs import ReportInputs, gather
from slbench.report.sections import Section
from slbench.report.table import make_table
from slbench.store import Store
from slbench.study import StudyRun
from tests.support import make_record

VOID = {"meta", "br", "img", "link", "input", "base", "hr"}
HISTORY = """epoch,lr,train_loss,val_loss,val_top1,test_loss,test_top1,test_top5,scales_below_zero,train_seconds
1,0.001,2.5,2.25,20.5,2.0,25.25,60.0,0,1.5
2,0.0005,1.25,1.5,40.0,1.75,50.5,80.0,0,1.5
3,0.0,1.0,nan,,1.5,60.125,90.0,0,1.5
"""
SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="396pt" height="259.2pt" viewBox="0 0 396 259.2"
 xmlns="http://www.w3.org/2000/svg" version="1.1">
 <metadata><a href="http://example.org/">told</a></metadata>
 <defs><style type="text/css">*{stroke-linecap: butt}</style><path id="dot" d="M0 0h3"/></defs>
 <clipPath id="frame"><rect x="7" y="7" width="345.6" height="11"/></clipPath>
 <g id="axes" clip-path="url(#frame)"><use xlink:href="#dot" x="54"/><text>72.5</text></g>
</svg>
"""


@dataclass
class Node:
    """An element, with the text and the elements inside it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: "list[Node | str]" = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str = "", **attributes: str) -> "list[Node]":
        """Elements inside it, in their order, with this tag and these attributes ("class_" is "class")."""
        expected = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            node
            for node in self.walk()
            if tag in ("", node.tag) and all(node.attributes.get(name) == value for name, value in expected.items())
        ]

    def one(self, tag: str = "", **attributes: str) -> "Node":
        (node,) = self.all(tag, **attributes)
        return node

    def walk(self) -> "Iterator[Node]":
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child.walk()

    @property
    def skeleton(self) -> list[tuple[str, list[str]]]:
        """Tags and names of attributes, without any text."""
        return [(node.tag, sorted(node.attributes)) for node in self.walk()]


class Tree(HTMLParser):
    """Builds the tree; refuses an end tag that ends nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(html: str) -> Node:
    """Return the page as a tree."""
    tree = Tree()
    tree.feed(html)
    tree.close()
    (root,) = tree.open
    return root


def inputs_in(
    folder: Path, runs_: tuple[StudyRun, ...], top1: list[float | str | None], **options: Any
) -> ReportInputs:
    """Return report inputs of a new store; an accuracy of str: reason of a failure, None: not started."""
    store = Store(folder)
    for run, value in zip(runs_, top1, strict=True):
        if value is None:
            continue
        folder_ = store.begin(run.spec, run.labels)
        if isinstance(value, str):
            reason = value.replace("HERE", str(folder_))
            store.fail(run.spec, run.labels, Failure(kind="out of memory", reason=reason))
            continue
        store.finish(folder_, make_record(run, final_test_top1=value))
    inputs = gather(runs_, store, **({"name": "study"} | options))
    for path in folder.glob("runs/*/record.json"):  # after the check of the record, with which it does not agree
        path.with_name("metrics.csv").write_text(HISTORY)
    return inputs


def page_of(
    inputs: ReportInputs, *, sections: tuple[Section, ...] = (), figures: tuple[PageFigure, ...] = (), **options: Any
) -> str:
    """Return the page of report inputs."""
    return page(inputs, make_table(inputs, **options), sections, figures)


def a_section(
    title: str,
    options: tuple[str, ...],
    heads: tuple[str, ...],
    lines: tuple[tuple[str, ...], ...],
    notes: tuple[str, ...] = (),
) -> Section:
    """Return a section of findings."""
    return Section(title, options, heads=heads, lines=lines, notes=notes)
