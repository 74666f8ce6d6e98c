"""What differs between two images of one database, row by row."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from openenv.errors import ExecutionFailed
from openenv.verifiers.image import exact_text_of, json_cell, open_image, quoted

ChangeKind = Literal["insert", "update", "delete", "create_table", "drop_table", "alter_table"]

Key = tuple[Any, ...]
Row = tuple[Any, ...]

_ROWID_NAMES = ("rowid", "_rowid_", "oid")
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Change:
    """A row that came, went or changed; or a table that did."""

    table: str
    kind: ChangeKind
    key: Mapping[str, Any] = field(default_factory=dict)
    """The primary key by column name; ``rowid`` where the table has none."""
    before: Mapping[str, Any] | None = None
    """The row by column name, as it was; ``None`` for an insert."""
    after: Mapping[str, Any] | None = None
    columns: tuple[str, ...] = ()
    """The columns that an update changed and that are not ignored."""

    def as_json(self) -> dict[str, Any]:
        """The change as a JSON object."""
        made: dict[str, Any] = {"table": json_cell(self.table), "kind": self.kind, "key": _json_row(self.key)}
        if self.before is not None:
            made["before"] = _json_row(self.before)
        if self.after is not None:
            made["after"] = _json_row(self.after)
        if self.columns:
            made["columns"] = [json_cell(column) for column in self.columns]
        return made

    def __str__(self) -> str:
        table = _name(self.table)
        if self.kind.endswith("_table"):
            return f"{self.kind.removesuffix('_table')} table {table}"
        what = f"{self.kind} {table} {', '.join(f'{_name(name)}={_short(value)}' for name, value in self.key.items())}".rstrip()
        if self.kind != "update" or self.before is None or self.after is None:
            return what
        changed = [f"{_name(name)} {_short(self.before.get(name))} → {_short(self.after.get(name))}" for name in self.columns[:8]]
        more = f", and {len(self.columns) - 8} more" if len(self.columns) > 8 else ""
        return f"{what}: {', '.join(changed)}{more}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table's shape and rows in one image."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """The primary key's columns; empty where the table has none."""
    definition: str
    rows: Sequence[Row]
    rowids: Sequence[Any] | None
    """The rows' rowids, in the same order; ``None`` where there are none or every name for them is taken."""


def read_tables(image: bytes) -> dict[str, Table]:
    """Every table of an image by name, with its rows. SQLite's own tables and the shadows of virtual ones are left out."""
    with closing(open_image(image)) as connection:
        try:
            return _read_all(connection)
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise _unreadable(error) from None
        except (sqlite3.Error, UnicodeError) as error:
            raise _unreadable(error) from None
        # Some text is not UTF-8: once more, with the slower way that keeps it.
        connection.text_factory = exact_text_of
        try:
            return _read_all(connection)
        except (sqlite3.Error, UnicodeError) as error:
            raise _unreadable(error) from None


def diff_images(initial: bytes, final: bytes, ignored: Sequence[str] = ()) -> list[Change]:
    """All changes from one image to the other, in the order of table names, then kinds, then keys.

    Rows are paired by primary key, by rowid where there is none. A row whose key changed is a delete and an insert.
    Numbers are compared by value (1 is 1.0), texts and blobs by their bytes, whatever the columns' collations.

    Args:
        initial: The database before.
        final: The database after.
        ignored: Patterns of ``table.column``, ``*`` standing for anything. An update of nothing else is no change; rows
            that come and go are none where every column of the table is ignored (``table.*``), and so is the table.

    Raises `ExecutionFailed` when an image cannot be read. Costs time and memory in proportion to both databases.
    """
    if initial == final:
        return []
    before, after = read_tables(initial), read_tables(final)
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        changes += _compare(name, before.get(name), after.get(name), ignored)
    return changes


def is_ignored(table: str, column: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern names the column; SQLite's names do not differ by case."""
    name = f"{table}.{column}".lower()
    return any(fnmatchcase(name, pattern.lower().replace("[", "[[]").replace("?", "[?]")) for pattern in patterns)


def _read_all(connection: sqlite3.Connection) -> dict[str, Table]:
    listed = connection.execute(
        "SELECT l.name, l.wr, coalesce(m.sql, '') FROM pragma_table_list l JOIN sqlite_master m ON m.name = l.name "
        "WHERE l.schema = 'main' AND l.type IN ('table', 'virtual') AND m.type = 'table' "
        "AND l.name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    ).fetchall()
    return {name: _read(connection, name, bool(without_rowid), sql) for name, without_rowid, sql in listed}


def _unreadable(error: Exception) -> ExecutionFailed:
    return ExecutionFailed(
        f"The tables of a database image cannot be read: {error}",
        hint="The image has to be whole, and its virtual tables of modules that this SQLite has.",
    )


def _read(connection: sqlite3.Connection, name: str, without_rowid: bool, definition: str) -> Table:
    # Generated columns are left out, being what the others make of them, and so are a virtual table's hidden ones.
    described = connection.execute("SELECT name, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid", (name,)).fetchall()
    columns = tuple(column for column, _, hidden in described if not hidden)
    key = tuple(column for pk, column in sorted((pk, column) for column, pk, _ in described if pk))
    taken = {column.lower() for column, _, _ in described}
    rowid = None if without_rowid else next((alias for alias in _ROWID_NAMES if alias not in taken), None)
    wanted = [quoted(column) for column in columns]
    if rowid is None:
        rows = connection.execute(f"SELECT {', '.join(wanted)} FROM main.{quoted(name)}").fetchall()
        return Table(name, columns, key, definition, rows, None)
    found = connection.execute(f"SELECT {', '.join([rowid, *wanted])} FROM main.{quoted(name)}").fetchall()
    return Table(name, columns, key, definition, [row[1:] for row in found], [row[0] for row in found])


def _compare(name: str, before: Table | None, after: Table | None, ignored: Sequence[str]) -> Iterator[Change]:
    columns = {column for table in (before, after) if table is not None for column in table.columns}
    counted = {column for column in columns if not is_ignored(name, column, ignored)}
    if not counted:
        return
    if before is None or after is None:
        yield Change(name, "create_table" if before is None else "drop_table")
    elif before.columns != after.columns or before.definition != after.definition:
        yield Change(name, "alter_table")
    elif before.rows == after.rows and (before.key or before.rowids == after.rowids):
        return
    names, old, new = _keyed(before, after)
    was_of, now_of = before.columns if before else (), after.columns if after else ()
    for key in sorted(new.keys() - old.keys(), key=_sorting):
        yield Change(name, "insert", _identity(names, key), None, _named(now_of, new[key]))
    same = was_of == now_of
    for key in sorted((key for key in old.keys() & new.keys() if not same or old[key] != new[key]), key=_sorting):
        was, now = _named(was_of, old[key]), _named(now_of, new[key])
        every = [*now, *(column for column in was if column not in now)]
        changed = tuple(column for column in every if column in counted and was.get(column, _ABSENT) != now.get(column, _ABSENT))
        if changed:
            yield Change(name, "update", _identity(names, key), was, now, changed)
    for key in sorted(old.keys() - new.keys(), key=_sorting):
        yield Change(name, "delete", _identity(names, key), _named(was_of, old[key]), None)


_ABSENT = object()

KeyedRows = dict[Key, Row]


def _keyed(before: Table | None, after: Table | None) -> tuple[tuple[str, ...], KeyedRows, KeyedRows]:
    """The key's column names and both tables' rows by key: by the primary key where it tells all rows apart, else by
    rowid, else by the whole row and which of its like it is."""
    tables = [table for table in (before, after) if table is not None]
    names = tables[0].key
    if names and all(table.key == names for table in tables):
        keyed = [_by_primary_key(table) for table in tables]
        if all(len(rows) == len(table.rows) for rows, table in zip(keyed, tables, strict=True)):
            return names, *_sides(keyed, before, after)
    if all(table.rowids is not None for table in tables):
        keyed = [{(rowid,): row for rowid, row in zip(table.rowids or (), table.rows, strict=True)} for table in tables]
        return ("rowid",), *_sides(keyed, before, after)
    return (), *_sides([_by_whole_row(table) for table in tables], before, after)


def _sides(keyed: Sequence[KeyedRows], before: Table | None, after: Table | None) -> tuple[KeyedRows, KeyedRows]:
    return (keyed[0] if before is not None else {}), (keyed[-1] if after is not None else {})


def _by_primary_key(table: Table) -> KeyedRows:
    places = [table.columns.index(column) for column in table.key]
    return {tuple([row[place] for place in places]): row for row in table.rows}


def _by_whole_row(table: Table) -> KeyedRows:
    seen: Counter[Row] = Counter()
    rows: KeyedRows = {}
    for row in table.rows:
        seen[row] += 1
        rows[(*row, seen[row])] = row
    return rows


def _identity(names: Sequence[str], key: Key) -> dict[str, Any]:
    return _named(names, key) if names else {}


def _named(names: Sequence[str], key: Key) -> dict[str, Any]:
    return dict(zip(names, key, strict=True))


def _sorting(key: Key) -> list[tuple[int, Any]]:
    """SQLite's own order of kinds: null, numbers, texts, blobs."""
    kinds = {type(None): 0, int: 1, float: 1, str: 2, bytes: 3}
    return [(kinds[type(value)], 0 if value is None else value) for value in key]


def _json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {str(json_cell(column)): json_cell(value) for column, value in row.items()}


def _name(name: str) -> str:
    return _short(name) if not name.isidentifier() or len(name) > _SHOWN_CHARS else name


def _short(value: Any) -> str:
    """A cell in one line of a message."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}..."
