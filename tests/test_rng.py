import hashlib

import torch

from slbench.rng import derive, generator


def test_a_seed_is_the_first_63_bits_of_the_sha256_of_its_purpose() -> None:
    first = int(hashlib.sha256(b"3/5/7/augment").hexdigest()[:16], 16)
    assert derive(3, 5, 7, "augment") == first // 2


def test_every_part_of_a_purpose_changes_the_seed() -> None:
    purposes: list[tuple[int | str, ...]] = [(), (1,), (1, 2), (2, 1), (12,), (1, "a"), (1, "b"), ("a", 1)]
    seeds = {derive(seed, *purpose) for seed in (0, 3) for purpose in purposes}
    assert len(seeds) == 2 * len(purposes)


def test_seeds_fit_a_signed_64_bit_integer() -> None:
    assert all(0 <= derive(seed, "x") < 2**63 for seed in range(101))


def test_the_stream_of_a_purpose_does_not_depend_on_earlier_draws() -> None:
    first = torch.rand(5, generator=generator(0, "order"))
    torch.rand(3)
    assert torch.equal(first, torch.rand(5, generator=generator(0, "order")))
    assert not torch.equal(first, torch.rand(5, generator=generator(1, "order")))


def test_a_generator_does_not_change_the_global_stream_of_torch() -> None:
    before = torch.get_rng_state()
    torch.rand(3, generator=generator(0, "order"))
    assert torch.equal(before, torch.get_rng_state())
