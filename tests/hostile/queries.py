"""Values of `report --query`."""

from tests.hostile.case import Expected, Table

REFUSED = (
    # code
    "@frame.apply.__globals__['sys'].modules['os'].system('touch pwned') == 0",
    "@__import__('os').system('touch pwned') == 0",
    "@pd.io.common.os.system('touch pwned') == 0",
    "__import__('os').system('touch pwned')",
    "seed.to_pickle('pwned')", "seed.to_csv('pwned')", "seed.to_json('pwned')", "seed.apply('to_json')",
    "@frame.to_csv('pwned')", "@frame.eval('seed')", "seed.map(print)", "seed.values.tofile('pwned')",
    "seed.__class__", "seed.__class__.__mro__ == 1", "backbone.str.contains('V')", "backbone.str.len() > 3",
    "index.to_series().to_csv('pwned')", "abs(seed) == 1", "sin(seed) > 0", "len(backbone) > 3", "print(seed)",
    "eval('1')", "exec('1')", "open('pwned', 'w')", "(lambda: 1)()", "lambda: seed", "[seed for seed in (1, 2)]",
    "{seed: 1}", "{seed}", "f'{seed}' == '1'", "(x := seed) == 1", "seed if seed else 1", "seed[0] == 1",
    "seed[::1] == 1", "`seed`.__class__ == 1", "@x", "@frame", "@self", "@@seed", "yield seed", "await seed",
    "import os", "seed = 1", "seed == 1; seed == 2", "seed == 1\nseed == 2", "del seed", "*seed", "**seed",
    # expressions that do not end or need much memory
    "9**9**9 == seed", "seed == 10**10**8", "seed << 9999999999", "'a' * 9999999999 == backbone",
    "[0] * 9999999999 == seed", "(" * 2_000 + "seed == 1" + ")" * 2_000, "not " * 5_000 + "seed == 1",
    " and ".join(["seed == 1"] * 20_000), "-" * 5_000 + "1 == seed", "seed == " + "9" * 5_000,
    # no conditions
    "seed ==", "== 1", "(seed == 1", "seed == 1)", "seed === 1", "seed = = 1", "and", "not", "seed and", "in",
    "seed in", "seed in 3", "seed in backbone", "seed + 1", "'text'", "1 ==", "seed 1", "seed == 'x",
    "sed == 1", "recipe.lr < 1", "seed == unknown", "nothing", "\x00", "seed == \x1b1", "\ufeffseed = 1", "¿seed?",
    "seed == 1 #\x00", "backbone == 'a\x00b' or", ";", "`", "``", "`seed", "\\", "$", "!seed",
)  # fmt: skip
ACCEPTED = (
    "seed == 0", "seed < 1", "seed <= 1 and seed >= 0", "seed in [0, 1]", "seed in (0, 1)", "seed not in [7]",
    "not seed == 5", "(seed == 0) or (seed == 1)", "method == 'none'", 'method == "none"', "method != 'none'",
    "recipe_lr < 0.01", "0 <= seed < 2", "1 > seed", "final_test_top1 > 1e-3", "method in ['none', 'lsa']",
    "recipe_flip == True", "recipe_lr <= +1", "final_test_top1 > -1",
)  # fmt: skip


def queries() -> Table:
    """Queries of a small store; a file named pwned must not appear."""
    table = Table("--query", store=True)
    for query in REFUSED:
        table.add(query, ("report", "--format", "csv", "--figures", "none", "--query", query), Expected.REFUSED)
    for query in ACCEPTED:
        table.add(query, ("report", "--format", "csv", "--figures", "none", "--query", query), Expected.ACCEPTED)
    table.add("no run matches", ("report", "--query", "seed == 123456"), Expected.REFUSED)
    return table
