"""Read-only SQL on a copy of a world's database."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from openenv.errors import QueryRefused, QueryTooExpensive
from openenv.verifiers.expansion import check_expansion
from openenv.verifiers.image import json_cell, open_image, text_of
from openenv.verifiers.limits import DEFAULT_BUDGET, GuardedFunctions, QueryBudget, Watch

__all__ = ["QueryBudget", "QueryResult", "run_query"]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query gave: column names, and rows of cells as JSON has them (a blob is ``{"blob": "<hex>"}``)."""

    columns: list[str]
    rows: list[list[Any]]


def run_query(image: bytes, query: str, budget: QueryBudget = DEFAULT_BUDGET) -> QueryResult:
    """Run one SELECT on a copy of the database image and return what it gives.

    The query may be hostile: it can read this database and nothing else, change nothing (the copy included), and do no
    more than the budget allows. It costs a copy of the image and about 0.1 ms besides; it holds the calling thread, not
    the interpreter lock, for as long as it runs.

    Raises:
        QueryRefused: It is not exactly one statement that only reads, SQLite finds it wrong (its message is kept), or
            its answer could change from one time to the next (``random()``, ``CURRENT_TIMESTAMP``).
        QueryTooExpensive: It went past the budget.
        ExecutionFailed: The image is not a database.
    """
    if not query.strip():
        raise QueryRefused("The query is empty", field="query", hint="Write a single SELECT.")
    if len(query) > budget.max_sql_bytes:
        raise _too_long(budget)
    check_expansion(query)
    connection = open_image(image)
    watch = Watch(budget)
    functions = GuardedFunctions(watch)
    try:
        connection.text_factory = text_of
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        if "json" in query.lower():
            # json_each and json_tree are set up on their first use, which the authorizer would take for a change.
            connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").close()
        functions.install(connection)
        watch.install(connection)
        return _fetch(connection, query, budget)
    except (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError, MemoryError) as error:
        raise watch.reason or _explain(error, image, budget) from None
    finally:
        connection.close()
        functions.close()


def _fetch(connection: sqlite3.Connection, query: str, budget: QueryBudget) -> QueryResult:
    cursor = connection.execute(query)
    if cursor.description is None:
        raise QueryRefused("The query gives no rows: it is not a SELECT", field="query", hint="Write a single SELECT.")
    columns = [column[0] for column in cursor.description]
    rows: list[list[Any]] = []
    size = 0
    for row in cursor:
        size += 8 * len(row) + sum(len(cell) for cell in row if isinstance(cell, str | bytes))
        if len(rows) == budget.max_rows or size > budget.max_result_bytes:
            limit = f"{budget.max_rows} rows" if len(rows) == budget.max_rows else f"{budget.max_result_bytes} bytes"
            raise QueryTooExpensive(
                f"The query gives more than {limit}", field="query", hint="Aggregate (COUNT, MAX) or narrow it with WHERE."
            )
        rows.append([json_cell(cell) for cell in row])
    return QueryResult(columns, rows)


def _explain(error: Exception, image: bytes, budget: QueryBudget) -> QueryRefused:
    """SQLite's own complaint about a query, with what helps to mend it."""
    said = str(error)
    if isinstance(error, MemoryError):
        return QueryTooExpensive("The query is too complex to be compiled", field="query", hint="Ask for less at a time.")
    if "query string is too large" in said:
        return _too_long(budget)
    if "too big" in said:
        return QueryTooExpensive(
            f"The query makes or reads a value of more than {budget.max_value_bytes} bytes",
            field="query",
            hint="Select length(column) or substr(column, 1, 1000) instead of the whole.",
        )
    if "one statement at a time" in said:
        return QueryRefused("The query is more than one statement", field="query", hint="Write a single SELECT.")
    if "user-defined function" in said:
        return QueryRefused(
            "The query gives a text that is not UTF-8 to LIKE, GLOB, instr, replace or trim",
            field="query",
            hint="Compare hex(column).",
        )
    hint = "Write a single SELECT in SQLite's dialect."
    if "no such table" in said or "no such column" in said:
        hint = _what_there_is(image)
    return QueryRefused(f"SQLite refuses the query: {said[:500]}", field="query", hint=hint)


def _too_long(budget: QueryBudget) -> QueryTooExpensive:
    return QueryTooExpensive(
        f"The query is longer than {budget.max_sql_bytes} bytes", field="query", hint="Ask for less at a time."
    )


def _what_there_is(image: bytes) -> str:
    """The database's tables with their columns, as far as a hint has room for them."""
    connection = open_image(image)
    try:
        connection.text_factory = text_of
        found = connection.execute(
            "SELECT m.name, (SELECT group_concat(name, ', ') FROM pragma_table_info(m.name)) FROM sqlite_master m "
            "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY m.name LIMIT 40"
        ).fetchall()
    except sqlite3.Error:
        return "The database's tables cannot be listed."
    finally:
        connection.close()
    listed = "; ".join(f"{name} ({columns})" for name, columns in found)
    return f"The tables are: {listed[:1500]}." if listed else "The database has no tables."
