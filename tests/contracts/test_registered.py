"""What a registered backbone must have, name by name; and nothing outside slbench/backbones asks for its type."""

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

import slbench
from slbench.backbones import BACKBONES, BackboneEntry, build, check_method, resolve_network
from slbench.backbones.attention_layer import AttentionLayer
from slbench.backbones.layers import Attention, Backbone
from slbench.backbones.specs import BackboneSpec, ResNetSpec, ViTSpec
from slbench.errors import InapplicableError, InputError
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from slbench.methods.lsa import AttentionLogits
from slbench.methods.token_grid import TokenGrid
from slbench.recipes import RECIPES
from slbench.train.optim import make_optimizer
from tests.golden.test_identity_fields import LISTED
from tests.golden.test_pairs import golden
from tests.golden.test_parameters import PARAMETERS
from tests.support import naming

PACKAGE = Path(slbench.__file__).parent
DESCRIPTION = ("attention_layers", "receptive_chain", "init_parameter")


def missing_parts(name: str, entry: BackboneEntry) -> Iterator[str]:
    """Yield what a backbone lacks, one line for each."""
    fields = [f"{entry.spec.__name__}.{field}" for field in getattr(entry.spec, "__dataclass_fields__", {})]
    if not set(fields) & set(LISTED):
        yield f"tests/golden/identity_fields.txt: add {', '.join(fields)}"
    if name not in {backbone for backbone, *_ in PARAMETERS}:
        yield f"tests/golden/test_parameters.py: add the parameters of {name}"
    module, _, class_name = entry.module.partition(":")
    network_class = getattr(importlib.import_module(module), class_name)
    for method in DESCRIPTION:
        if getattr(network_class, method) is getattr(Backbone, method):
            yield f"{class_name}: define {method}"
    if entry.small[0].name != name:
        yield f"small of its entry: give the sizes and the image of a small {name}"
        return
    applicable = [method for method in METHODS if applies(entry.small[0], METHODS[method])]
    if unlisted := [method for method in applicable if (name, method) not in golden()]:
        yield f"tests/golden/pairs.csv: add {name} with {', '.join(unlisted)}"
    for method in applicable:
        yield from undescribed(method, entry)


def undescribed(method: str, entry: BackboneEntry) -> Iterator[str]:
    """Yield what the small network of a method does not say about itself."""
    sizes, size = entry.small
    shape = ImageShape(size, channels=5, classes=7)
    try:
        spec, resolved = resolve_network(sizes, METHODS[method], shape=shape)
        network = build(spec, resolved, shape=shape, drop_path=0.0, seed=0).eval()
    except (InapplicableError, NotImplementedError):
        return
    for parameter, _ in network.named_parameters():
        try:
            network.parameter_kind(parameter)
        except InputError as error:
            yield str(error)
    scores = {module for module in network.modules() if isinstance(module, AttentionLogits)}
    if any(module.tokens is None for module in scores):
        yield f"{method}: give its AttentionLogits their tokens"
    elif is_defined(network, "attention_layers") and {layer.logits for layer in network.attention_layers()} != scores:
        yield f"{method}: attention_layers leaves out a layer"
    if is_defined(network, "receptive_chain"):
        part, outputs = network.receptive_chain()[0], list[Tensor]()
        part.module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        network(torch.zeros(1, 5, *size))
        rows, columns = part.grid(size)
        if tuple(outputs[0].shape[1:-1]) != (rows * columns,) and tuple(outputs[0].shape[2:]) != (rows, columns):
            yield f"{method}: the first part of receptive_chain is {rows} x {columns}, not {tuple(outputs[0].shape)}"


def is_defined(network: Backbone, name: str) -> bool:
    return getattr(type(network), name) is not getattr(Backbone, name)


def applies(spec: BackboneSpec, method: Method) -> bool:
    try:
        check_method(spec, method)
    except InapplicableError:
        return False
    return True


@pytest.mark.parametrize("name", BACKBONES)
def test_a_registered_backbone_is_complete(name: str) -> None:
    missing = list(dict.fromkeys(missing_parts(name, BACKBONES[name])))
    assert not missing, "\n".join(missing)


@dataclass(frozen=True, kw_only=True)
class DummySpec(ViTSpec):
    """Sizes of a backbone that is not registered."""

    name: Literal["dummy"] = "dummy"  # type: ignore[assignment]


class Dummy(Backbone):
    """Parameters under everybody's names, one under a name of its own, and attention that does not know its tokens."""

    def __init__(self, _spec: DummySpec, _method: Method, *, shape: ImageShape, drop_path: float = 0.0) -> None:
        super().__init__()
        del drop_path
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 6))
        self.pos_embed = nn.Parameter(torch.zeros(1, 7, 6))
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 3))
        self.mystery = nn.Parameter(torch.zeros(3))
        self.logits = AttentionLogits(3, 2)
        self.head = nn.Linear(6, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.cls_token[:, 0].expand(len(images), -1))
        return logits


class DescribedDummy(Dummy):
    """The same with one of its descriptions, and a module that declares its kind."""

    parameter_kinds: ClassVar[dict[str, str]] = {"mystery": "norm"}

    def init_parameter(self, *_: Any, **__: Any) -> None: ...

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return ()


def dummy(network: type[Backbone], *, with_small: bool = True) -> BackboneEntry:
    small = (DummySpec(patch_size=4) if with_small else ResNetSpec(), (8, 12))
    return BackboneEntry(title="Dummy", spec=DummySpec, module=f"{__name__}:{network.__name__}", source="", small=small)


def test_each_missing_part_of_a_backbone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "dummy", dummy(Dummy, with_small=False))
    first = [line.partition(":")[0] for line in missing_parts("dummy", BACKBONES["dummy"])]
    golden_files = ["tests/golden/identity_fields.txt", "tests/golden/test_parameters.py"]
    assert first == [*golden_files, *["Dummy"] * 3, "small of its entry"]
    monkeypatch.setitem(BACKBONES, "dummy", dummy(DescribedDummy))
    lines = [*missing_parts("dummy", BACKBONES["dummy"])]
    assert [line for line in lines if line.startswith("DescribedDummy")] == ["DescribedDummy: define receptive_chain"]
    assert any(line.startswith("tests/golden/pairs.csv: add dummy with none") for line in lines)
    assert "both: give its AttentionLogits their tokens" in lines


def test_parameters_have_the_kind_of_their_usual_names_and_an_unknown_one_stops_the_training() -> None:
    network = Dummy(DummySpec(), METHODS["none"], shape=ImageShape((8, 12), 5, 7))
    kinds = {"cls_token": "class_token", "pos_embed": "position", "relative_position_bias_table": "position"}
    assert {name: network.parameter_kind(name) for name in kinds} == kinds
    assert (network.parameter_kind("head.weight"), network.parameter_kind("head.bias")) == ("weight", "bias")
    with pytest.raises(InputError, match=naming("Dummy", "mystery", "parameter_kinds", "weight", "norm")) as caught:
        make_optimizer(network, RECIPES["quick"])
    assert "\n" not in str(caught.value)
    described = DescribedDummy(DummySpec(), METHODS["none"], shape=ImageShape((8, 12), 5, 7))
    assert described.parameter_kind("mystery") == "norm"


def test_scores_know_where_their_tokens_lie() -> None:
    tokens = TokenGrid(height=2, width=3, class_token=True)
    assert Attention(6, num_heads=3, head_dim=2, method=METHODS["both"], tokens=tokens).logits.tokens == tokens


NETWORK_MODULES = {entry.module.partition(":")[0] for entry in BACKBONES.values()}
CLASSES = {entry.spec.__name__ for entry in BACKBONES.values()}
CLASSES |= {entry.module.partition(":")[2] for entry in BACKBONES.values()}
BASES = {"Backbone", "BackboneSpec", "PatchSpec", "TransformerSpec"}
OF_TYPE = ("type(network)", "type(backbone)", "type(spec)", "type(spec.backbone)")


def asks_for_types(node: ast.AST) -> bool:
    """Return whether a node imports one network or the class of its sizes, or tests for the type of any."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slbench.backbones"):
        names = {alias.name for alias in node.names}
        return bool({node.module, *(f"{node.module}.{name}" for name in names)} & NETWORK_MODULES or names & CLASSES)
    if not isinstance(node, ast.Call):
        return False
    if ast.unparse(node.func) in ("isinstance", "issubclass"):
        return bool({name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)} & (CLASSES | BASES))
    return ast.unparse(node) in OF_TYPE


def test_nothing_outside_the_backbones_asks_for_the_type_of_a_network_or_its_sizes() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}"
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "backbones")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if asks_for_types(node)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "from slbench.backbones.vit import ViT",
        "from slbench.backbones import swin",
        "from slbench.backbones.specs import T2TSpec",
        "isinstance(spec, T2TSpec | CaiTSpec)",
        "isinstance(network, (Backbone, int))",
        "type(network) in FINDERS",
    ],
)
def test_a_question_for_a_type_is_found(code: str) -> None:
    assert any(map(asks_for_types, ast.walk(ast.parse(code))))
