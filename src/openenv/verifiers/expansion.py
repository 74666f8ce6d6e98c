"""Queries that grow while they are compiled.

SQLite copies the definition of a table of a ``WITH`` wherever its name stands, and where it merges a subquery into the
query around it, it copies an expression wherever its alias stands. Twenty definitions that each use the one before twice
are a million copies, made before the first instruction runs: nothing interrupts that, so it is looked for beforehand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from openenv.errors import QueryTooExpensive

_LOG_MAX_NODES: Final = math.log(5_000_000)
"""Of the syntax tree: a second or two and a few hundred megabytes at the worst."""

# Whatever is not ASCII is part of a name for SQLite, spaces of other scripts included.
_TOKEN: Final = re.compile(
    r"""--[^\n]*+ | /\*(?s:.*?)(?:\*/|\Z)          # comments
      | (?:'[^']*+(?:'|\Z))++ | (?:"[^"]*+(?:"|\Z))++ | (?:`[^`]*+(?:`|\Z))++ | \[[^\]]*+\]?
      | [0-9][A-Za-z0-9_$.\x80-\U0010ffff]*+ | [A-Za-z0-9_$\x80-\U0010ffff]++ | \S""",
    re.VERBOSE,
)
_COMMENTS: Final = ("--", "/*")
_QUOTES: Final = "'\"`["

_WORDS = """
    and as between case collate cross distinct else end escape except exists from full glob group having in indexed
    inner intersect is isnull join left like limit match natural not notnull null on or order outer regexp right select
    then union using values when where
"""
_NO_ALIAS: Final = frozenset(_WORDS.split())
"""Words that follow an operand and are not its alias."""


def check_expansion(query: str) -> None:
    """Raise `QueryTooExpensive` for a query that could grow past all bounds while it is compiled.

    The bound is a cautious one: ``n`` uses of names over ``l`` definitions make at most ``(n / l) ** l`` copies, which is
    more than nearly any query makes. One with few subqueries, or few uses of what they define, always passes.
    """
    if query.lower().count("select") < 2:
        return
    written = [token for token in _TOKEN.findall(query) if not token.startswith(_COMMENTS)]
    tokens = [_bare(token) for token in written]
    tables = [tokens[place] for place in _with_tables(tokens)]
    aliases = list(_aliases(written, tokens))
    if not tokens:
        return
    copies = _log_growth(_uses(tokens, tables), len(tables))
    merged = _log_growth(_uses(tokens, aliases), tokens.count("select") - 1)
    if copies + merged + math.log(len(tokens)) > _LOG_MAX_NODES:
        raise QueryTooExpensive(
            "The query uses what its subqueries and its WITH define so often that it could grow without end when it is compiled",
            field="query",
            hint="Use fewer subqueries inside each other, or their columns and tables less often; split it in several queries.",
        )


def _uses(tokens: list[str], defined: list[str]) -> int:
    """In how many places the names stand, but for those that define them and those that qualify a column."""
    names = set(defined)
    following = [*tokens, ""][1:]
    return sum(token in names and after != "." for token, after in zip(tokens, following, strict=True)) - len(names)


def _log_growth(uses: int, definitions: int) -> float:
    """The logarithm of how many copies there can be at the most: of ``(uses / l) ** l`` for any ``l`` up to the number."""
    if uses <= 1 or definitions < 1:
        return 0.0
    levels = max(1.0, min(definitions, uses / math.e))
    return levels * math.log(uses / levels)


def _with_tables(tokens: list[str]) -> Iterator[int]:
    """Where ``name AS (``, ``name AS NOT MATERIALIZED (`` or ``name(columns) AS (`` stand: the places of the names."""
    for index, token in enumerate(tokens):
        if token != "as":
            continue
        after = next((word for word in tokens[index + 1 : index + 4] if word not in ("not", "materialized")), "")
        before = index - 1
        if after == "(" and before >= 0 and tokens[before] == ")":
            while before > 0 and tokens[before] != "(":
                before -= 1
            before -= 1
        if after == "(" and before >= 0:
            yield before


def _aliases(written: list[str], tokens: list[str]) -> Iterator[str]:
    """Every name that may stand for an expression: after ``AS`` or after an operand, in the columns of a table of a
    ``WITH``, or the text of the expression itself, in quotes."""
    for index, name in enumerate(tokens):
        quoted = written[index][0] in _QUOTES
        if quoted and written[index][0] != "'" and not name.isidentifier():
            yield name
        elif quoted or name[0].isalpha() or name[0] in "_$" or not name.isascii():
            after = written[index + 1] if index + 1 < len(written) else ""
            named = index > 0 and (tokens[index - 1] == "as" or (_ends_operand(written[index - 1]) and name not in _NO_ALIAS))
            if named and after not in ("(", "."):
                yield name
    for place in _with_tables(tokens):
        if tokens[place + 1] == "(" and ")" in tokens[place:]:
            yield from (word for word in tokens[place + 2 : tokens.index(")", place)] if word != ",")


def _ends_operand(token: str) -> bool:
    """Whether an operand can end with the token as it is written, so that what follows may be its alias."""
    if token == ")" or token[0] in _QUOTES:
        return True
    word = token.lower()
    return word in ("end", "null", "isnull", "notnull") or (
        word not in _NO_ALIAS and (word[0].isalnum() or word[0] in "_$" or not word.isascii())
    )


def _bare(token: str) -> str:
    """The token as a name: in lower case, without the quotes around it."""
    if token[0] in _QUOTES[:3]:
        return token[1:-1].replace(token[0] * 2, token[0]).lower()
    return token[1:].removesuffix("]").lower() if token[0] == "[" else token.lower()
