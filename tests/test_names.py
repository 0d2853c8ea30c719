import pytest

from slbench.errors import InputError
from slbench.names import lookup
from tests.support import missing, naming


def test_a_known_name_returns_its_entry() -> None:
    assert lookup({"vit": 1, "pit": 2}, "pit", "backbone") == 2


def test_an_unknown_name_is_refused_with_the_closest_and_all_allowed_names() -> None:
    with pytest.raises(InputError) as caught:
        lookup({"vit": 1, "swin": 2}, "vitt", "backbone")
    assert not missing(str(caught.value), "vitt", "vit", "swin")


def test_a_name_unlike_all_others_has_no_suggestion() -> None:
    with pytest.raises(InputError, match=r"\(got 'zzz'\); allowed: vit, swin$"):
        lookup({"vit": 1, "swin": 2}, "zzz", "backbone")


def test_names_differ_by_case() -> None:
    with pytest.raises(InputError, match=naming("LSA")):
        lookup({"lsa": 1}, "LSA", "method")
