"""What keeps a query that a stranger wrote from doing more than read, and from running for long.

The authorizer lets a statement select, read and call the functions listed here, and nothing else. SQLite's limits bound
the text, its nesting and every value. A progress handler counts the virtual machine's instructions and watches this
thread's processor time and the process's memory. Two things get past all of these inside SQLite itself and have guards
of their own: functions whose cost is the product of two arguments, here, and queries that grow while they are compiled,
before the first instruction runs, in ``expansion``.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from openenv.errors import QueryRefused, QueryTooExpensive
from openenv.resident import resident_bytes
from openenv.verifiers.image import text_of


@dataclass(frozen=True, slots=True)
class QueryBudget:
    """How much one query may do. Instructions are counted, so the same query meets that limit on every machine."""

    max_instructions: int = 10_000_000
    """Of SQLite's virtual machine; counted in hundreds. About a quarter of a second."""
    max_cpu_s: float = 2.0
    """Of the calling thread: time that it waits for others does not count."""
    max_rows: int = 1_000
    max_result_bytes: int = 1_000_000
    max_value_bytes: int = 1_000_000
    """Of a single text or blob, those in the tables included."""
    max_memory_bytes: int = 256_000_000
    """By how much the process may grow meanwhile; watched on Linux only."""
    max_product: int = 200_000_000
    """Of argument lengths, summed over all calls of the functions that cost so much (``LIKE``, ``instr``, …)."""
    max_sql_bytes: int = 20_000


DEFAULT_BUDGET: Final = QueryBudget()

_ALLOWED = """
    abs avg cast ceil ceiling char coalesce concat concat_ws count cume_dist date datetime degrees dense_rank exp
    first_value floor format glob group_concat hex if ifnull iif instr julianday lag last_value lead length like
    likelihood likely ln log log10 log2 lower ltrim match max median min mod nth_value ntile nullif octet_length
    percent_rank percentile pi pow power printf quote radians rank replace round row_number rtrim sign soundex sqrt
    strftime string_agg substr substring sum time timediff total trim trunc typeof unhex unicode unixepoch unlikely upper
    acos acosh asin asinh atan atan2 atanh cos cosh sin sinh tan tanh
    json json_array json_array_length json_each json_error_position json_extract json_group_array json_group_object
    json_insert json_object json_quote json_remove json_replace json_set json_tree json_type json_valid -> ->>
    """
ALLOWED_FUNCTIONS: Final = frozenset(_ALLOWED.split())
"""Functions that read nothing but their arguments, at a cost that grows no faster than these."""

_UNREPEATABLE: Final = frozenset({"random", "randomblob", "current_date", "current_time", "current_timestamp"})

_READING: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_OTHERS = """
    ALTER_TABLE ANALYZE ATTACH CREATE_INDEX CREATE_TABLE CREATE_TEMP_INDEX CREATE_TEMP_TABLE CREATE_TEMP_TRIGGER
    CREATE_TEMP_VIEW CREATE_TRIGGER CREATE_VIEW CREATE_VTABLE DELETE DETACH DROP_INDEX DROP_TABLE DROP_TEMP_INDEX
    DROP_TEMP_TABLE DROP_TEMP_TRIGGER DROP_TEMP_VIEW DROP_TRIGGER DROP_VIEW DROP_VTABLE INSERT PRAGMA REINDEX
    SAVEPOINT TRANSACTION UPDATE
"""
_ACTIONS: Final = {getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ") for name in _OTHERS.split()}

_SCHEMA_TABLES: Final = frozenset({"sqlite_master", "sqlite_temp_master"})

_MAX_CALLS = 200
_INSTRUCTIONS_BETWEEN_LOOKS = 200
_CPU_S_BETWEEN_MEMORY_LOOKS = 0.02
_MAX_COLUMNS = 200


class Watch:
    """One query's use of its budget, and why it was stopped when it was."""

    def __init__(self, budget: QueryBudget) -> None:
        self.budget = budget
        self.reason: QueryRefused | None = None
        self._instructions = 0
        self._calls = 0
        self._product = 0
        self._began = self._looked = time.thread_time()
        self._memory: int | None = None

    def install(self, connection: sqlite3.Connection) -> None:
        """Put the connection under this watch. What the query needs of the schema has to be loaded already."""
        budget, limit = self.budget, connection.setlimit
        limit(sqlite3.SQLITE_LIMIT_LENGTH, budget.max_value_bytes)
        limit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, budget.max_sql_bytes)
        limit(sqlite3.SQLITE_LIMIT_COLUMN, _MAX_COLUMNS)
        limit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100)
        limit(sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 20)
        limit(sqlite3.SQLITE_LIMIT_VDBE_OP, 25_000)
        limit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        limit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
        limit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 0)
        limit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1)
        limit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._look, _INSTRUCTIONS_BETWEEN_LOOKS)

    def _authorize(self, action: int, first: str | None, second: str | None, _database: str | None, _source: str | None) -> int:
        if action in _READING:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            return self._authorize_function((second or "").lower())
        name = _ACTIONS.get(action, "another action")
        if first in _SCHEMA_TABLES:
            name = "a change of the schema"
        elif first and action == sqlite3.SQLITE_PRAGMA:
            name = f"PRAGMA {first[:60]}"
        self._refuse(f"The query may only read, and this one asks for {name}", "Write a single SELECT.")
        return sqlite3.SQLITE_DENY

    def _authorize_function(self, name: str) -> int:
        self._calls += 1
        if name in _UNREPEATABLE:
            self._refuse(
                f"The query calls {name}, so that its answer would change from one time to the next",
                "Compare with a fixed value, or with a time that the database holds.",
            )
        elif name not in ALLOWED_FUNCTIONS:
            hint = "Use ordinary scalar, aggregate or JSON functions."
            self._refuse(f"The query calls {name[:60]!r}, which is not allowed", hint)
        elif self._calls > _MAX_CALLS:
            self._stop(f"The query calls functions in more than {_MAX_CALLS} places", "Ask for less at a time.")
        else:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _look(self) -> int:
        """Called by SQLite every so many instructions; not zero stops the query."""
        self._instructions += _INSTRUCTIONS_BETWEEN_LOOKS
        budget, now = self.budget, time.thread_time()
        if self._instructions > budget.max_instructions:
            self._stop(f"The query took more than {budget.max_instructions} instructions", _NARROW)
        elif now - self._began > budget.max_cpu_s:
            self._stop(f"The query took more than {budget.max_cpu_s:g} s of processor time", _NARROW)
        elif now - self._looked > _CPU_S_BETWEEN_MEMORY_LOOKS:
            self._looked = now
            used = resident_bytes()
            if self._memory is None or used < self._memory:
                self._memory = used
            elif used - self._memory > budget.max_memory_bytes:
                self._stop(f"The query took more than {budget.max_memory_bytes} bytes of memory", _NARROW)
        return self.reason is not None

    def refuse_clock(self, name: str) -> None:
        """Refuse a call whose answer depends on when or where it is made. Always raises."""
        self._refuse(
            f"The query asks {name} for the present time, so that its answer would change from one time to the next",
            "Compare with a fixed value, or with a time that the database holds.",
        )
        raise sqlite3.OperationalError("the clock is not to be read")

    def charge(self, product: int) -> None:
        """Count a call of a function that costs the product of its arguments' lengths. Raises when it is too much."""
        self._product += product
        if self._product > self.budget.max_product:
            self._stop("The query compares texts that are too long with LIKE, GLOB, instr, replace or trim", _NARROW)
            raise QueryTooExpensive("stopped")

    def note(self, error: sqlite3.Error) -> None:
        """Keep why a guarded function failed: SQLite passes on no more than that it did."""
        if isinstance(error, sqlite3.DataError):
            self._stop(f"The query makes a value of more than {self.budget.max_value_bytes} bytes", _NARROW)
        else:
            self._refuse(f"SQLite refuses the query: {error}", "Correct the function's arguments.")

    def _refuse(self, message: str, hint: str) -> None:
        self.reason = self.reason or QueryRefused(message, field="query", hint=hint)

    def _stop(self, message: str, hint: str) -> None:
        self.reason = self.reason or QueryTooExpensive(message, field="query", hint=hint)


_NARROW = "Narrow it with WHERE, join on keys, aggregate (COUNT, MAX), and give recursion an end."


_GUARDED: Final = (("like", 2), ("like", 3), ("glob", 2), ("instr", 2), ("replace", 3), ("trim", 2), ("ltrim", 2), ("rtrim", 2))


_CLOCKS: Final = {"date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1, "timediff": 0}
"""The functions of time, with the place of their first time value: without one, or with 'now', they read the clock."""

_NOW: Final = frozenset({"now", "localtime", "utc", "subsec", "subsecond"})
"""Words that make them depend on when, or where, the query runs."""


class GuardedFunctions:
    """The functions whose cost is a product, replaced by themselves but charged to the budget.

    SQLite cannot be interrupted inside a function, so the price is paid before the call. The built-in ones are called on
    an empty database of their own, opened when the first is.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._builtins: sqlite3.Connection | None = None

    def install(self, connection: sqlite3.Connection) -> None:
        """Put them in the place of the connection's own."""
        for name, count in _GUARDED:
            connection.create_function(name, count, self._charged(f"SELECT {name}({','.join('?' * count)})"), deterministic=True)

        for name, first in _CLOCKS.items():
            connection.create_function(name, -1, self._clockless(name, first), deterministic=True)

    def _clockless(self, name: str, first: int) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            words = {argument.strip().lower() for argument in arguments if isinstance(argument, str)}
            if len(arguments) <= first or words & _NOW:
                self._watch.refuse_clock(name)
            call = f"SELECT {name}({','.join('?' * len(arguments))})"
            try:
                return self._open().execute(call, arguments).fetchone()[0]
            except sqlite3.Error as error:
                self._watch.note(error)
                raise

        return called

    def close(self) -> None:
        """Close the database on which the built-in ones are called."""
        if self._builtins is not None:
            self._builtins.close()

    def _charged(self, call: str) -> Callable[..., Any]:
        def charged(*arguments: Any) -> Any:
            self._watch.charge(_length(arguments[0]) * _length(arguments[1]))
            try:
                return self._open().execute(call, arguments).fetchone()[0]
            except sqlite3.Error as error:
                self._watch.note(error)
                raise

        return charged

    def _open(self) -> sqlite3.Connection:
        if self._builtins is None:
            self._builtins = sqlite3.connect(":memory:", isolation_level=None)
            self._builtins.text_factory = text_of
            self._builtins.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._watch.budget.max_value_bytes)
            self._builtins.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
        return self._builtins


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | bytes) else 24
