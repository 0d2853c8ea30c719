"""RetrofittedBackbone: a model from elsewhere, with a method, as the rest of slbench sees a network."""

from collections.abc import Callable, Collection, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.attention_layer import AttentionLayer
from slbench.backbones.layers import Backbone
from slbench.backbones.parameter_kinds import BY_NAME, KINDS, Kind
from slbench.backbones.receptive_part import ReceptivePart
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.lsa import AttentionLogits
from slbench.methods.receptive_steps import steps_of
from slbench.recipes import ParameterKind
from slbench.retrofit.apply import attend, retrofit
from slbench.retrofit.interception import Intercepted
from slbench.retrofit.structure import FoundAttention, examine


class RetrofittedBackbone(Backbone):
    """A model from elsewhere with a method: images (b c h w) to logits (b k).

    Its attention layers are intercepted for every method, so that analyses can read their scores; with method "none"
    the outputs stay those of the model.

    Args:
        model: maps images to logits, or to an output with the attribute `logits`. It is changed in place.
        method: its defaults may be unresolved.
        shape: of the images.
        seed: of the parameters that the method adds.
        from_scratch: see `slbench.apply`; False for pretrained weights.
    Raises:
        InapplicableError: if the method finds nothing to change.
        InputError: if the model does not take such images.
    """

    def __init__(
        self, model: nn.Module, method: Method, *, shape: ImageShape, seed: int = 0, from_scratch: bool = True
    ) -> None:
        super().__init__()
        structure = examine(model, shape.size, channels=shape.channels)
        retrofit(model, structure, method, from_scratch=from_scratch, seed=seed)
        if not method.changes_attention:
            attend(structure, Method())
        self.model = model
        self._named = [name for name, module in model.named_modules() if module is head_of(model)]
        exempt: Iterable[str] | Callable[[], Iterable[str]] = getattr(model, "no_weight_decay", ())
        exempt = exempt() if callable(exempt) else exempt
        self._exempt = {f"model.{name}" for name in exempt}
        self._structure = structure

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        """Return the layer whose output are the logits: the model's classifier, or its last linear map."""
        return self.model.get_submodule(self._named[0])

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        output = self.model(images)
        if isinstance(output, tuple | list):  # such as logits and those of a second head
            output = output[0]
        logits: Tensor = getattr(output, "logits", output)
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        """Return the attention layers whose tokens lie on a known grid, in order of computation.

        A stage ends where the grid changes.
        """
        layers, stage, numbers = list[AttentionLayer](), 0, dict[str, int]()
        known = [found for found in self._structure.over_tokens if found.tokens is not None]
        grids = [found.tokens.size for found in known if found.tokens is not None]
        staged = len(set(grids)) > 1
        for position, found in enumerate(known):
            if position == 0 or grids[position] != grids[position - 1]:
                stage, numbers = stage + 1, {}
            noun = "block" if found.relation == "self" else "class block"
            numbers[noun] = numbers.get(noun, 0) + 1
            layers.append(
                AttentionLayer(
                    noun=noun, number=numbers[noun], stage=stage if staged else None, logits=self._scores(found)
                )
            )
        return tuple(layers)

    def _scores(self, found: FoundAttention) -> AttentionLogits:
        module = self.model.get_submodule(found.path)
        assert isinstance(module, Intercepted)
        return module.scores_of(found.call.kind, found.plan.product)

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        """Return the tokens, whose module is the embedding; none where no embedding was found."""
        embedding = self._structure.tokenizer
        if embedding is None:
            return ()
        module = self.model.get_submodule(embedding.path)
        return (ReceptivePart("tokens", steps_of(module), module),)

    def decays(self, name: str, exempt: Collection[ParameterKind]) -> bool:
        """Return whether a parameter decays: not if it is a vector, or if the model's `no_weight_decay` names it."""
        parameter = self.get_parameter(name)
        return parameter.ndim > 1 and name not in self._exempt and super().decays(name, exempt)

    def parameter_kind(self, name: str) -> Kind:
        """Return the kind of a parameter: as a module declares or by its name, else "weight"."""
        path, _, own_name = name.rpartition(".")
        declared: Kind | None = getattr(self.get_submodule(path), "parameter_kinds", {}).get(own_name)
        return declared or BY_NAME.get(own_name, KINDS[0])

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        """Leave a parameter as the model's constructor, its weights or the retrofit set it."""


def head_of(model: nn.Module) -> nn.Module:
    """Return the classifier of a model, or its last linear map.

    Raises:
        InputError: if it has none.
    """
    get = getattr(model, "get_classifier", None)
    found = get() if callable(get) else None
    found = found[0] if isinstance(found, tuple) else found
    if isinstance(found, nn.Module):
        return found
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return linear[-1]
