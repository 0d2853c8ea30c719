"""Version of each part that determines numbers.

The id of a run includes the versions of the parts it uses. Raise a version when the numbers of its
part change (a bug fix, another order of operations): runs that use it become stale, others stay
valid. `tests/golden/test_losses.py` fails if numbers change without a raised version. The version of a
backbone is in its spec (`numerics_version`).
"""

NUMERICS: dict[str, int] = {
    "trainer": 1,  # optimizer, schedule, loss, order of batches, initial values
    "subset": 1,  # choice of the images of a subset
    "augmentation": 1,  # flip and padded crop
    "autoaugment": 1,
    "plugin_augmentation": 1,  # its place and its random stream
    "erasing": 1,
    "mixing": 1,  # CutMix and Mixup
    "averaging": 1,  # moving average of the weights (ema_decay)
    "compile": 1,  # what torch.compile compiles, with which options
    "spt": 1,  # shifted copies
    "window": 1,  # tokenizers with 2P x 2P windows
    "lsa": 1,  # temperature and diagonal mask
    "attention-init": 1,  # mimetic and impulse initialisation
    "gaussians": 1,  # mask of Gaussians on the scores
    "conv-tokenizer": 1,  # of CCT and DHVT
    "global-pool": 1,  # mean and sequence pooling
    "depthwise-mlp": 1,
    "registers": 1,
    "kernels": 1,  # rules of slbench.kernel_choice; in ids from version 2 on, as ids are older than the rules
}
