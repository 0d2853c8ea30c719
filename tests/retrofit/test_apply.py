"""Tests of `slbench.apply` and `slbench.describe` on models from elsewhere."""

import copy
import io
import subprocess
import sys
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import slbench
from slbench.errors import InapplicableError, InputError
from slbench.image_shape import ImageShape
from slbench.measure.macs import count
from slbench.methods import METHODS, Method
from slbench.methods.lsa import set_mask_share
from slbench.retrofit.backbone import RetrofittedBackbone
from tests.retrofit.observe import images, same_tokens, softmaxes
from tests.retrofit.small import TIMM, Einsum, Fused, OtherTokens, Own, Torch, timm_model

QUICK = ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "cait_xxs24_224", "pit_ti_224"]


def own(attention: nn.Module) -> Own:
    torch.manual_seed(0)
    return Own(attention).eval()


@pytest.mark.parametrize("name", [*QUICK, pytest.param("swinv2_tiny_window8_256", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["spt", "temperature-only", "spt-no-layer-norm", "overlapping-conv"])
def test_a_model_keeps_its_function_without_a_mask(name: str, method: str) -> None:
    model, size = timm_model(name)
    if method == "overlapping-conv" and name == "pit_ti_224":
        with pytest.raises(InapplicableError, match="overlap already"):
            slbench.apply(model, method, image_size=size)
        return
    with torch.no_grad():
        before = model(images(size))
        after = slbench.apply(model, method, image_size=size)(images(size))
    assert (after - before).abs().max() < 1e-5 * before.abs().max().clamp(min=1)
    new = sum(parameter.numel() for parameter in model.parameters())
    assert new > sum(parameter.numel() for parameter in timm_model(name)[0].parameters()) or "v2" in name


@pytest.mark.parametrize("name", [*QUICK, pytest.param("levit_128s", marks=pytest.mark.slow)])
def test_lsa_leaves_no_weight_on_the_diagonal(name: str) -> None:
    model, size = timm_model(name)
    structure = slbench.describe(model, size)
    slbench.apply(model, "lsa", image_size=size)
    for mode in (False, True):
        for found in structure.attention:
            found.layer.module.training = mode
        with softmaxes() as weights:
            model(images(size))
        assert len(same_tokens(weights)) == len(structure.self_attention)
        for value in same_tokens(weights):
            assert value.diagonal(dim1=-2, dim2=-1).abs().max() == 0
            torch.testing.assert_close(value.sum(-1), torch.ones(value.shape[:-1]))


@pytest.mark.parametrize("attention", [Fused, Einsum, Torch])
def test_own_attention_gets_the_scores_of_lsa(attention: type[nn.Module]) -> None:
    model = own(attention())
    plain = copy.deepcopy(model)
    slbench.apply(model, "lsa")
    for part in (model.attention, model):
        part.eval()
    with softmaxes() as weights:
        model(images((8, 8), 1))
    (value,) = weights
    tokens = cast("Tensor", plain.embed(images((8, 8), 1))).flatten(2).transpose(1, 2)
    if isinstance(plain.attention, Torch):
        layer = plain.attention.layer.self_attn
        projected = F.linear(tokens, layer.in_proj_weight, layer.in_proj_bias)
    else:
        projected = plain.attention.get_submodule("qkv")(tokens)
    expected = reference(projected.double(), heads=3)
    torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=1e-5)


def reference(qkv: Tensor, *, heads: int) -> Tensor:
    """Return the weights of LSA before training, one number after the other."""
    q, k, _ = qkv.detach().chunk(3, -1)
    batch, tokens, dim = q.shape
    size = dim // heads
    weights = torch.zeros(batch, heads, tokens, tokens, dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            for i in range(tokens):
                terms = {
                    j: torch.exp(sum(q[b, i, h * size + c] * k[b, j, h * size + c] for c in range(size)) / size**0.5)
                    for j in range(tokens)
                    if j != i
                }
                for j, term in terms.items():
                    weights[b, h, i, j] = term / sum(terms.values())
    return weights


def test_equal_numbers_of_tokens_do_not_make_self_attention() -> None:
    model = own(OtherTokens())
    assert [found.relation for found in slbench.describe(model).attention] == ["cross"]
    with pytest.raises(InapplicableError, match="no self-attention"):
        slbench.apply(model, "lsa")
    slbench.apply(model, "temperature-only")
    assert model.attention.logits.scale.shape == (3,)  # type: ignore[union-attr]


def test_a_query_without_another_visible_key_keeps_its_diagonal() -> None:
    hidden = torch.zeros(16, 16).masked_fill(~torch.eye(16, dtype=torch.bool), float("-inf"))
    hidden[:8] = 0  # the last 8 tokens see themselves only
    model = own(Fused(mask=hidden))
    slbench.apply(model, "lsa")
    with softmaxes() as weights:
        output = model(images((8, 8), 1))
    diagonal = weights[0].diagonal(dim1=-2, dim2=-1)
    assert output.isfinite().all()
    assert (diagonal[..., :8] == 0).all()
    assert (diagonal[..., 8:] == 1).all()


def test_one_token_has_no_mask() -> None:
    model = own(Fused())
    model.image_size = 2
    with pytest.raises(InapplicableError, match="two or more tokens"):
        slbench.apply(model, "mask-only")


def test_spt_from_scratch_reads_the_shifted_patch() -> None:
    model, size = timm_model("vit_tiny_patch16_224")
    slbench.apply(model, "spt", from_scratch=True)
    x = images(size).requires_grad_()
    tokens = model.patch_embed(x)  # type: ignore[operator]
    tokens[0, 9].sum().backward()  # row 1, column 1 of 8 x 8 patches of 4 px
    assert x.grad is not None
    rows, columns = x.grad[0].abs().sum(0).nonzero(as_tuple=True)
    assert [int(edge) for edge in (rows.min(), rows.max(), columns.min(), columns.max())] == [2, 9, 2, 9]


def test_new_parameters_are_drawn_from_seed_and_name() -> None:
    def weight(method: str, seed: int) -> Tensor:
        model, _ = timm_model("vit_tiny_patch16_224")
        slbench.apply(model, method, from_scratch=True, seed=seed)
        return model.patch_embed.proj.weight.detach()  # type: ignore[operator,union-attr]

    first = weight("spt", 1)
    assert torch.equal(first, weight("both", 1))
    assert not torch.equal(first, weight("spt", 2))
    plain, _ = timm_model("vit_tiny_patch16_224")
    own = plain.get_parameter("patch_embed.proj.weight").detach()
    assert float(first.std()) == pytest.approx(float(own.std()) / 5**0.5, rel=0.1)


def test_none_changes_nothing() -> None:
    model, size = timm_model("swin_tiny_patch4_window7_224")
    with torch.no_grad():
        before = model(images(size))
        assert slbench.apply(model, "none") is model
        assert torch.equal(model(images(size)), before)
        shape = ImageShape(size=size, channels=3, classes=10)
        assert torch.equal(RetrofittedBackbone(model, Method(), shape=shape).eval()(images(size)), before)


@pytest.mark.parametrize(
    "name", [*QUICK[:2], *(pytest.param(n, marks=pytest.mark.slow) for n in TIMM if n not in QUICK[:2])]
)
def test_a_retrofitted_backbone_is_a_network_like_others(name: str) -> None:
    model, size = timm_model(name)
    shape = ImageShape(size=size, channels=3, classes=10)
    network = RetrofittedBackbone(model, METHODS["both"], shape=shape, seed=3)
    with torch.no_grad():  # zeros at the start, of layer scales and biases, hide gradients
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)), alpha=0.02)
    network.train()(images(size)).square().sum().backward()
    new = [n for n, _ in network.named_parameters() if ".logits" in n or ".tokens." in n]
    assert new
    assert all(network.get_parameter(n).grad.abs().sum() > 0 for n in new)  # type: ignore[union-attr]
    network.eval()
    with torch.no_grad():
        output = network(images(size))
        twin = RetrofittedBackbone(timm_model(name)[0], METHODS["both"], shape=shape, seed=4).eval()
        twin.load_state_dict(network.state_dict())
        assert torch.equal(twin(images(size)), output)
    layers = network.attention_layers()
    assert len(layers) == len(
        [found for found in slbench.describe(timm_model(name)[0], size).over_tokens if found.tokens]
    )
    assert network.receptive_chain()[0].grid(size) == slbench.describe(timm_model(name)[0], size).tokenizer.grid  # type: ignore[union-attr]


COMPILED = """
import torch
import slbench
from tests.retrofit.observe import images
from tests.retrofit.small import timm_model

methods = {
    "swin_tiny_patch4_window7_224": "both",
    "cait_xxs24_224": "both",
    "vit_tiny_patch16_224": "both",
    "pit_ti_224": "lsa",
}
for name, method in methods.items():
    model, size = timm_model(name)
    slbench.apply(model, method)
    torch._dynamo.reset()
    with torch.no_grad():  # temperatures as the model's own would hide one that is not applied, or twice
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)), alpha=0.05)
        output = model(images(size))
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(images(size)), output, atol=1e-5, rtol=1e-4)
    print(name)
"""


@pytest.mark.slow
def test_a_model_with_a_method_compiles_to_one_graph() -> None:
    """In a process of its own, since the checks of shapes that pytest adds break graphs."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [QUICK[1], QUICK[2], QUICK[0], QUICK[3]], done.stderr[-2000:]


def test_vectors_and_what_the_model_names_do_not_decay() -> None:
    model, size = timm_model("vit_tiny_patch16_224")
    network = RetrofittedBackbone(model, METHODS["lsa"], shape=ImageShape(size=size, channels=3, classes=10))
    kept = {name for name, _ in network.named_parameters() if not network.decays(name, ())}
    assert {"model.pos_embed", "model.cls_token", "model.head.bias", "model.blocks.0.attn.logits.scale"} <= kept
    assert "model.blocks.0.attn.qkv.weight" not in kept
    assert network.parameter_kind("model.blocks.0.attn.logits.scale") == "temperature"


def test_fused_attention_counts_as_its_products() -> None:
    shape = ImageShape(size=(32, 32), channels=3, classes=10)
    plain = count(RetrofittedBackbone(timm_model("vit_tiny_patch16_224")[0], Method(), shape=shape), shape=shape)
    explicit = RetrofittedBackbone(timm_model("vit_tiny_patch16_224")[0], METHODS["mask-only"], shape=shape)
    assert plain.macs == count(explicit, shape=shape).macs
    assert not {"scaled_dot_product_attention", "matmul"} & set(plain.uncounted_operators)


def test_the_mask_is_blended_in() -> None:
    model = own(Fused())
    plain, hard = copy.deepcopy(model), copy.deepcopy(model)
    slbench.apply(hard, Method(mask_self=True))
    slbench.apply(model, Method(mask_self=True, mask_warmup=3.0))
    x = images((8, 8), 1)
    with torch.no_grad():
        set_mask_share(model, 0.0)
        torch.testing.assert_close(model(x), plain(x))
        set_mask_share(model, 1.0)
        torch.testing.assert_close(model(x), hard(x))
        set_mask_share(model, 0.25)
        with softmaxes() as half:
            model(x)
        set_mask_share(model, 0.0)
        with softmaxes() as none:
            model(x)
    odds = [(w / (1 - w)).diagonal(dim1=-2, dim2=-1) for w in (half[0], none[0])]
    torch.testing.assert_close(odds[0], 0.75 * odds[1])


def test_what_does_not_fit_is_refused_with_what_was_looked_for() -> None:
    import timm

    convolutions = timm.create_model("resnet18", num_classes=10)
    for method, part in (("spt", "tokenizer"), ("lsa", "attention"), ("both", "tokenizer")):
        with pytest.raises(InapplicableError, match=f"no {part} found; looked for: "):
            slbench.apply(convolutions, method, image_size=32)
    model, size = timm_model("vit_tiny_patch16_224")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for wrong, message in (
        ("bth", "did you mean 'both'"),
        ("none-wide", "width of its MLP"),
        ("gmm", "gaussians"),
        (Method(shift="diagonal", shift_pixels=32), "leaves nothing"),
        (Method(shift="diagonal", s_pool="yes"), "no patch merging"),
    ):
        with pytest.raises(InputError, match=message):
            slbench.apply(model, wrong)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    with pytest.raises(InputError, match="does not take 3 x 30 x 30 images"):
        slbench.describe(model, 30)
    slbench.apply(model, "lsa", image_size=size)
    with pytest.raises(InputError, match="has a method already"):
        slbench.apply(model, "spt")


def test_a_second_embedding_is_not_left_plain() -> None:
    import timm

    model = timm.create_model("crossvit_tiny_240", num_classes=10, depth=((1, 1, 0),))
    with pytest.raises(InapplicableError, match=r"patch_embed\.1\.proj as well"):
        slbench.apply(model, "spt")
    slbench.apply(model, "lsa")


@pytest.mark.slow  # importing transformers takes seconds
@pytest.mark.parametrize("name", ["ViT", "DeiT", "Swin"])
def test_models_of_transformers(name: str) -> None:
    import transformers

    sizes = (
        {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [2, 1], "num_heads": [2, 4], "window_size": 4}
        if name == "Swin"
        else {"image_size": 16, "patch_size": 4, "num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2}
    )
    config = getattr(transformers, f"{name}Config")(**sizes)
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}ForImageClassification")(config).eval()
    structure = slbench.describe(model)
    assert len(structure.self_attention) == (3 if name == "Swin" else 1)
    assert len(structure.merging) == (1 if name == "Swin" else 0)
    with torch.no_grad():
        before = model(images((16, 16))).logits
        after = slbench.apply(copy.deepcopy(model), "spt")(images((16, 16))).logits
        assert (after - before).abs().max() < 1e-5
    slbench.apply(model, "both", from_scratch=True)
    with softmaxes() as weights:
        model(images((16, 16)))
    assert all(value.diagonal(dim1=-2, dim2=-1).max() == 0 for value in same_tokens(weights))
    assert len(same_tokens(weights)) == len(structure.self_attention)


def test_a_layer_norm_that_changes_the_function_is_said() -> None:
    model, _ = timm_model("vit_tiny_patch16_224")
    with pytest.warns(UserWarning, match="layer_norm = true changes the function"):
        slbench.apply(model, Method(shift="diagonal", layer_norm=True))


def test_the_description_names_the_parts() -> None:
    text = str(slbench.describe(*timm_model("cait_xxs24_224")))
    for part in ("patch_embed.proj", "grid 8 x 8", "self-attention, 64 x 64", "cross-attention, 1 x 65", "4 heads"):
        assert part in text


class ChildBias(Fused):
    """Attention whose child makes a product and a softmax of its own."""

    class Bias(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(1, 1, 16, 4))

        def forward(self) -> Tensor:
            return (self.table @ self.table.mT).softmax(-1)

    def __init__(self) -> None:
        super().__init__()
        self.bias = self.Bias()

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias()
        q, k, v = (t.unflatten(-1, (3, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        mixed = (q @ k.mT * 0.1 + bias).softmax(-1) @ v
        output: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return output


class TrainsOtherwise(Fused):
    """Attention with an additional softmax of its keys in training."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (3, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        if self.training:
            (k @ k.mT).softmax(-1)
        output: Tensor = self.out(((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return output


class Twice(Fused):
    """Two attentions in one forward, the second of the outputs of the first."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + super().forward(x))


class Separate(Fused):
    """Attention of queries, keys and values that are separate inputs of a module, which the layer around it shows."""

    class Core(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v)

    def __init__(self) -> None:
        super().__init__()
        self.core = self.Core()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (3, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        output: Tensor = self.out(self.core(q, k, v).transpose(1, 2).flatten(2))
        return output


class Mixed(Separate):
    """The same, of tokens of which each is the mean of all before."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + x.mean(1, keepdim=True))


@pytest.mark.filterwarnings("ignore:.*softmaxes of no products")
@pytest.mark.parametrize(
    ("attention", "message"),
    [(ChildBias, "makes other calls"), (TrainsOtherwise, "makes other calls in training"), (Mixed, "cannot tell")],
)
def test_attention_that_cannot_be_followed_is_refused_and_left_as_it_was(
    attention: type[nn.Module], message: str
) -> None:
    model = own(attention())
    names, kinds = list(model.state_dict()), [type(module) for module in model.modules()]
    with torch.no_grad():
        before = model(images((8, 8), 1))
        with pytest.raises(InputError, match=message):
            slbench.apply(model, "lsa" if attention is ChildBias else "both", from_scratch=True)
        assert torch.equal(model(images((8, 8), 1)), before)
    assert list(model.state_dict()) == names
    assert [type(module) for module in model.modules()] == kinds
    assert not hasattr(model, "slbench_method")


def test_every_attention_of_a_layer_is_masked() -> None:
    model = own(Twice())
    slbench.apply(model, "mask-only")
    with softmaxes() as weights:
        model(images((8, 8), 1))
    assert len(weights) == 2
    assert all(value.diagonal(dim1=-2, dim2=-1).max() == 0 for value in weights)


def test_the_layer_around_shows_that_separate_inputs_are_the_same_tokens() -> None:
    (found,) = slbench.describe(own(Separate())).attention
    assert (found.path, found.relation) == ("attention.core", "self")


@pytest.mark.parametrize("from_scratch", [False, True])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_model_with_a_method_is_described_copied_and_pickled(name: str, from_scratch: bool) -> None:
    model, size = timm_model(name)
    before = slbench.describe(model, size)
    slbench.apply(model, "both", from_scratch=from_scratch)
    after = slbench.describe(model, size)
    assert "retrofitted: both" in str(after)
    assert "scale learned (" in str(after)
    assert "diagonal masked" in str(after)
    assert [found.relation for found in after.attention] == [found.relation for found in before.attention]
    assert after.tokenizer is not None
    assert before.tokenizer is not None
    assert (after.tokenizer.path, after.tokenizer.grid) == (before.tokenizer.path, before.tokenizer.grid)
    assert [merging.path for merging in after.merging] == [merging.path for merging in before.merging]
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    with torch.no_grad():
        output = model(images(size))
        for twin in (copy.deepcopy(model), torch.load(file, weights_only=False)):
            assert torch.equal(twin(images(size)), output)


class LearnedScale(Fused):
    """Attention with a learned factor of its own, besides a bias per head and a learned factor of a fixed bias."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.full((entries, 1, 1), 0.3))
        self.bias, self.alpha = nn.Parameter(torch.randn(3, 1, 1)), nn.Parameter(torch.ones(3, 1, 1))
        self.register_buffer("fixed", torch.randn(16, 16))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (3, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        scale = self.tau.exp() if len(self.tau) else 0.5
        scores = q * scale @ k.mT + self.bias + self.alpha * self.get_buffer("fixed")
        output: Tensor = self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return output


@pytest.mark.parametrize(("entries", "learned"), [(1, True), (3, True), (0, False)])
def test_a_model_that_learns_a_scale_gets_no_second_one(entries: int, learned: bool) -> None:
    model = own(LearnedScale(entries))
    assert slbench.describe(model).attention[0].learns_scale == learned
    slbench.apply(model, "lsa")
    assert ("attention.logits.scale" in model.state_dict()) == (not learned)


class Normalised(Own):
    """A model that normalises its images itself and reads them by a stem with a forward of its own."""

    class Stem(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            for number in range(len(self)):
                x = self[number](x)
            return x

    def __init__(self, attention: nn.Module) -> None:
        super().__init__(attention)
        convolutions = [nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.Conv2d(6, 12, 3, stride=2, padding=1)]
        self.embed = self.Stem(*convolutions)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x - 0.3) / 0.25)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_images_normalised_by_the_model_and_stems_of_any_type(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Normalised(Fused()).eval().to(dtype)
    x = images((8, 8), 1).to(dtype)
    found = slbench.describe(model).tokenizer
    assert found is not None
    assert (found.path, found.stride, found.grid) == ("embed", 4, (2, 2))
    with torch.no_grad():
        before = model(x)
        slbench.apply(model, "spt")
        assert torch.equal(model(x), before)
        model.get_parameter("embed.shifted.tokens.map.weight").normal_()
        assert not torch.equal(model(x), before)


def test_softmaxes_that_stay_are_said() -> None:
    class Gated(Own):
        def forward(self, x: Tensor) -> Tensor:
            tokens: Tensor = self.embed(x).flatten(2).transpose(1, 2)
            tokens = tokens * tokens.softmax(1)
            output: Tensor = self.head((tokens + self.attention(tokens)).mean(1))
            return output

    torch.manual_seed(0)
    model = Gated(Fused()).eval()
    with pytest.warns(UserWarning, match=r"softmaxes of no products .*Gated, 5 x 16 x 12"):
        slbench.apply(model, "lsa")


def test_a_layer_that_takes_another_path_later_is_an_error() -> None:
    model, size = timm_model("vit_tiny_patch16_224")
    slbench.apply(model, "lsa")
    for block in model.blocks:  # type: ignore[union-attr]
        block.attn.fused_attn = False
    with pytest.raises(InputError, match="takes another path"):
        model(images(size))


def test_the_temperature_starts_at_the_scale_that_the_model_applies() -> None:
    class Scaled(Fused):
        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (t.unflatten(-1, (3, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
            output: Tensor = self.out(((q @ k.mT * 0.1).softmax(-1) @ v).transpose(1, 2).flatten(2))
            return output

    model = own(Scaled())
    slbench.apply(model, "temperature-only")
    assert model.get_parameter("attention.logits.scale").tolist() == pytest.approx([0.1] * 3)


def test_the_random_state_stays() -> None:
    state = torch.random.get_rng_state()
    model, _ = timm_model("vit_tiny_patch16_224")
    torch.random.set_rng_state(state)
    slbench.describe(model)
    slbench.apply(model, "both", from_scratch=True)
    assert torch.equal(torch.random.get_rng_state(), state)
