"""The methods of an ablation by name. Free of torch; `spt.py` and `lsa.py` hold the modules of all backbones."""

from slbench.methods.method import Method

__all__ = ["METHODS", "PAPER_PREFIXES", "Method", "model_title"]

METHODS: dict[str, Method] = {
    "none": Method(),
    "spt": Method(shift="diagonal"),
    "lsa": Method(learn_temperature=True, mask_self=True),
    "both": Method(shift="diagonal", learn_temperature=True, mask_self=True),
    # Halves of LSA: Table 4 of the paper.
    "temperature-only": Method(learn_temperature=True),
    "mask-only": Method(mask_self=True),
    # SPT in the embedding alone, where the backbone pools: Table 2 of the paper.
    "spt-no-pool": Method(shift="diagonal", s_pool="no"),
    "both-no-pool": Method(shift="diagonal", s_pool="no", learn_temperature=True, mask_self=True),
    # Controls that the paper lacks: how much of SPT's gain is due to the norm, the window or the shifts?
    "layer-norm-only": Method(layer_norm=True),
    "spt-cardinal": Method(shift="cardinal"),
    "spt-all8": Method(shift="all8"),
    "spt-1px-cardinal": Method(shift="cardinal", shift_pixels=1),  # as in vit-pytorch
    "overlapping-conv": Method(window=2),  # one convolution: kernel 2P, stride P
    "overlapping-conv-pool": Method(window=2, s_pool="yes"),  # the same in pooling layers
    "window-2p": Method(window=2, layer_norm=True),
    "spt-no-layer-norm": Method(shift="diagonal", layer_norm=False),
    "none-wide": Method(widened=True),  # as many parameters as "both", in a wider MLP
    # Rivals that aim at the locality of SPT and LSA, each alone, and their controls.
    "mimetic-init": Method(initialization="mimetic"),  # arXiv:2305.09828
    "impulse-init": Method(initialization="impulse"),  # arXiv:2505.19985
    "impulse-norms": Method(initialization="impulse-norms"),  # the default values, as large as those of impulse-init
    "gmm": Method(gaussians=5),  # the mask of arXiv:2309.05375 alone
    "gmm-mean-pool": Method(gaussians=5, global_pool="mean"),  # as published
    "mean-pool": Method(global_pool="mean"),
    "cct": Method(embedding="cct-3x1", global_pool="sequence"),  # arXiv:2104.05704
    "cct-tokenizer": Method(embedding="cct-3x1"),
    "seq-pool": Method(global_pool="sequence"),
    "cct-3x2": Method(embedding="cct-3x2", global_pool="sequence"),  # a quarter of the tokens of cct
    "conv-stem": Method(embedding="conv-stem"),  # of DHVT, arXiv:2210.05958
    "dw-mlp": Method(mlp="depthwise"),  # of DHVT
    "registers": Method(registers=4),  # arXiv:2309.16588
}

PAPER_PREFIXES: dict[str, str] = {
    "none": "",
    "spt": "S-",
    "lsa": "L-",
    "both": "SL-",
    "temperature-only": "T-",
    "mask-only": "M-",
    "spt-no-pool": "S-",
    "both-no-pool": "SL-",
}
PAPER_SUFFIXES: dict[str, str] = {"spt-no-pool": " without S_pool", "both-no-pool": " without S_pool"}


def model_title(backbone: str, method: str) -> str:
    """Return the title of a method on a backbone: the paper's name if it has one ("SL-ViT"), else "ViT, window-2p"."""
    if method in PAPER_PREFIXES:
        return PAPER_PREFIXES[method] + backbone + PAPER_SUFFIXES.get(method, "")
    return f"{backbone}, {method}"
