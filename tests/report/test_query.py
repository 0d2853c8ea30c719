"""Conditions of `report --query`: what they select, and that they can do nothing else."""

import random
from pathlib import Path

import pandas as pd
import pytest

from slbench.errors import InputError
from slbench.report.query import MAX_DEPTH, MAX_LENGTH, select
from tests.support import missing

FRAME = pd.DataFrame(
    {
        "method": ["none", "spt", "lsa", "both", "spt"],
        "seed": [0, 1, 2, 3, 4],
        "recipe_lr": [0.001, 0.002, float("nan"), 0.004, -1e-05],
        "method_mask_self": [False, False, True, True, False],
        "label": ["a b", float("nan"), "c", "", "d'e"],
    },
    index=pd.Index(["r0", "r1", "r2", "r3", "r4"], name="run_id"),
)
SAME_AS_PANDAS = [
    "seed > 2", "seed >= 2 and seed < 4", "seed == 1 or seed == 3", "not seed == 1", "~(seed == 1)", "1 < seed <= 3",
    "method == 'spt'", 'method != "spt"', "method in ['none', 'lsa']", "method not in ('none', 'lsa')",
    "method == ['none', 'lsa']", "method == 'spt' and recipe_lr < 0.002", "method == 'spt' or seed == 0 and seed > 5",
    "(method == 'spt' or seed == 0) and seed < 1", "recipe_lr != recipe_lr", "recipe_lr == recipe_lr",
    "recipe_lr < 1", "recipe_lr != 0.001", "recipe_lr > -2e-5", "recipe_lr < -.5e-5", "method_mask_self",
    "not method_mask_self", "method_mask_self == True", "seed > 0 & method != 'spt'", "seed > 3 | method == 'none'",
    "`seed` == 2", "run_id == 'r1'", "label == 'a b'", "seed == 1_0", "seed == 1.0", "method > 'm'", "seed < recipe_lr",
    "(seed) == 1", "((seed)) == 1", "((seed) == 1)", "seed == (1)", "(1) < (seed) <= (3)", "seed > (-1)", "(-1) < seed",
    "(method) in ['spt', 'lsa']", "not (method_mask_self)", "((method_mask_self))", "(seed) == 1 or (method) == 'lsa'",
    "(seed) not in [1]", "(method_mask_self) == True",
    "2 > seed", "seed in [1]", "seed in []", "method == 'spt' and not (seed == 1 or seed == 2) and recipe_lr != 0",
]  # fmt: skip


@pytest.mark.parametrize("query", SAME_AS_PANDAS)
def test_a_query_selects_the_rows_that_pandas_selects(query: str) -> None:
    expected = FRAME.query(query, engine="python").index.tolist()
    assert FRAME.index[select(FRAME, query)].tolist() == expected


def test_random_queries_select_the_rows_that_pandas_selects() -> None:
    draw = random.Random(5)

    def condition(depth: int) -> str:
        if depth == 0 or draw.random() < 0.3:
            sign = draw.choice(["==", "!=", "<", "<=", ">", ">="])
            return draw.choice(
                [
                    f"seed {sign} {draw.randrange(5)}",
                    f"recipe_lr {sign} 0.002",
                    f"method {sign} 'lsa'",
                    "seed in [1, 3]",
                ]
            )
        one, other = condition(depth - 1), condition(depth - 1)
        return draw.choice(
            [f"{one} and {other}", f"{one} or {other}", f"not ({one})", f"({one})", f"({one}) | {other}"]
        )

    for _ in range(200):
        query = condition(3)
        assert FRAME[select(FRAME, query)].equals(FRAME.query(query, engine="python")), query


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("recipe_lrr < 1", ("recipe_lrr", "recipe_lr", "allowed: method, seed")), ("seed >", ("seed >", "its end")),
        ("", ("its end",)), ("seed", ("'seed'", "no condition")), ("1", ("no condition",)), ("(", ("its end",)),
        ("seed < 'a'", ("seed < 'a'", "order")), ("seed == 1)", (")",)), ("(seed == 1", ("')'",)),
        ("seed in 1", ("in", "list")), ("seed in [seed]", ("list", "'seed'")), ("seed < [1]", ("list", "<", "not in")),
        ("(seed) + 1 == 2", ("'+'",)), ("(seed + 1) == 2", ("'+'",)), ("(seed == 1) == True", ("'=='",)),
        ("(seed) 1", ("'1'",)), ("(seed, 1) == 2", ("','",)), ("()", ("')'",)),
        ("(" * 60 + "seed" + ")" * 60 + " == 1", (MAX_DEPTH,)), ("(seed)", ("'seed'", "no condition")),
        ("seed == 1 seed == 2", ("'seed'",)), ("seed + 1 == 2", ("'+'",)), ("9**9**9 == seed", ("'**9",)),
        ("seed.max() == 4", (".max()",)), ("len(seed) == 4", ("len",)), ("@frame", ("@frame",)), ("seed = 1", ("= 1",)),
        ("__import__('os')", ("__import__",)), ("seed == {1}", ("{1}",)), ("seed == lambda: 1", ("lambda",)),
        ("seed == 'a", ("'a",)), ("seed == 1 and", ("its end",)), ("seed == f'{seed}'", ("f",)),
        ("[1] == seed", ("==",)),
        ("not " * (MAX_DEPTH + 1) + "seed == 1", (MAX_DEPTH,)), ("(" * 9000, (MAX_DEPTH,)),
        ("1" * (MAX_LENGTH + 1), ("10,000",)), ("1" * (MAX_LENGTH - 1) + "x", ("not understood",)),
        ("seed == 1\0", ("\\x00",)),
        ("`a b` == 1", ("a b",)), ("seed == [[1]]", ("list",)), ("seed == - 'a'", ("'-'",)),
    ],
)  # fmt: skip
def test_an_invalid_query_is_one_line(query: str, words: tuple[object, ...]) -> None:
    with pytest.raises(InputError) as error:
        select(FRAME, query)
    assert not missing(str(error.value), *words, "(got ", "allowed: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "query",
    [
        "@frame.apply.__globals__['sys'].modules['os'].system('touch FILE') == 0", "seed.to_pickle('FILE')",
        "seed.to_csv('FILE') == 0", "@frame.to_csv('FILE')", "method.apply('to_json')", "`seed`.to_csv('FILE')",
        "@pd.io.common.os.system('touch FILE')",
    ],
)  # fmt: skip
def test_a_query_runs_no_code_and_writes_no_file(query: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    with pytest.raises(InputError):
        select(FRAME, query.replace("FILE", str(file)))
    assert not file.exists()


def test_a_query_on_no_rows_selects_none() -> None:
    assert select(FRAME.iloc[:0], "seed > 0 and method == 'spt'") == []
