import pytest

from slbench.errors import InputError
from slbench.names import lookup, suggestion
from tests.support import missing, naming


def test_a_known_name_gives_its_entry() -> None:
    assert lookup({"vit": 1, "pit": 2}, "pit", "backbone") == 2


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        lookup({"vit": 1, "swin": 2}, "vitt", "backbone")
    assert not missing(str(caught.value), "vitt", "vit", "swin")


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    assert suggestion("zzz", ["vit", "swin"]) == "; allowed: vit, swin"


def test_names_are_told_apart_by_case() -> None:
    with pytest.raises(InputError, match=naming("LSA")):
        lookup({"lsa": 1}, "LSA", "method")
