"""Register models, parts of methods, data sets and augmentations of your own, for use by name in studies.

A study names the file, `plugins = ["my_methods.py"]`, or a package declares an entry point of the group
`slbench.backbones`, `slbench.methods`, `slbench.datasets` or `slbench.augmentations`. The decorators change nothing:
slbench reads them without running the file, so their arguments must be literals, at the top level of the file.

    @register_scores("cosine")
    class CosineScores(AttentionLogits):
        def products(self, q, k):
            return super().products(F.normalize(q, dim=-1), F.normalize(k, dim=-1))
"""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def register_backbone(name: str) -> Callable[[T], T]:
    """Name a model: a class or function that returns an `nn.Module` from images (b c h w) to scores (b k).

    It is called with keyword arguments: those of the study, and `num_classes`, `in_chans` (or `in_channels`),
    `img_size` (or `image_size`) and `drop_path_rate` (or `drop_path`) if it has them. SPT and LSA are retrofitted.
    """
    return unchanged(name)


def register_tokenizer(name: str, **fields: Any) -> Callable[[T], T]:
    """Name a method by its tokenizer: an `nn.Module` class called with `(in_channels, dim, patch_size=P)`.

    The module maps images (b c h w) to tokens (b n d), row by row, n = h w / P^2. It replaces the patch embedding.

    Args:
        fields: of `slbench.methods.Method`, such as `mask_self=True`.
    """
    return unchanged(name, **fields)


def register_scores(name: str, **fields: Any) -> Callable[[T], T]:
    """Name a method by its attention scores: a subclass of `slbench.methods.lsa.AttentionLogits`.

    It is called as that class is, and maps queries (b h n d) and keys (b h m d) to scores (b h n m) before the softmax.

    Args:
        fields: of `slbench.methods.Method`, such as `learn_temperature=True`.
    """
    return unchanged(name, **fields)


def register_dataset(name: str) -> Callable[[T], T]:
    """Name a data set: a function without arguments that returns arrays by name, as a file of `npz:PATH` has them.

    `train_images`, `test_images`: uint8, (n h w) or (n h w c); `train_labels`, `test_labels`: integers, (n,).
    """
    return unchanged(name)


def register_augmentation(name: str) -> Callable[[T], T]:
    """Name an augmentation: a function of uint8 images (b c h w) and a CPU `torch.Generator` that returns such images.

    A recipe uses it with `recipe.augmentation = "name"`, after flip, crop and AutoAugment. All its chance must come
    from the generator, or a resumed run would differ.
    """
    return unchanged(name)


def unchanged(_name: str, **_fields: Any) -> Callable[[T], T]:
    return lambda registered: registered
