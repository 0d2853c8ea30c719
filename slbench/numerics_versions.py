"""The version of every part whose arithmetic decides a number.

A run's identity holds the versions of the parts that it uses. Raise one when the numbers that part
gives change (a bug fixed, an order of operations): runs that used it are then stale, all others
stay. `tests/golden/test_losses.py` fails when numbers move and no version was raised.
"""

NUMERICS: dict[str, int] = {
    "trainer": 1,  # optimizer, schedule, loss, order of batches, initial values
    "subset": 1,  # which images a part of a data set has
    "augmentation": 1,  # flip and padded crop
    "autoaugment": 1,
    "erasing": 1,
    "mixing": 1,  # CutMix and Mixup
    "averaging": 1,  # of the weights, where a recipe has ema_decay
    "vit": 1,
    "t2t": 1,
    "cait": 1,
    "pit": 1,
    "swin": 1,
    "resnet56": 1,
    "resnet110": 1,
    "efficientnet-b0": 1,
    "spt": 1,  # shifted copies
    "window": 1,  # tokenizers that read 2P x 2P windows
    "lsa": 1,  # temperature and diagonal mask
}
