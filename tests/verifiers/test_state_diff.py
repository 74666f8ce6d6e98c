from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openenv.errors import ExecutionFailed, Unsupported, ValidationFailed
from openenv.operation import Episode
from openenv.verifiers import Evidence, Verdict, diff_images, parse_verifier
from openenv.verifiers.base import pair_up
from openenv.verifiers.diff import is_ignored
from tests.verifiers.databases import database

INITIAL = database()


def verdict(final: bytes, allowed: Any = (), ignored: Any = (), initial: bytes = INITIAL) -> Verdict:
    config = {"allowed": list(allowed), "ignored": list(ignored)}
    verifier = parse_verifier({"verifier_type": "state_diff", "validation_config": config})
    found = verifier.verify(Evidence(Episode(), initial, final))
    json.dumps([found.message, found.expected, found.actual, found.details], ensure_ascii=False, allow_nan=False).encode()
    return found


def changes(initial: bytes, final: bytes, *ignored: str) -> list[str]:
    return [str(change) for change in diff_images(initial, final, ignored)]


def test_changes_in_words() -> None:
    final = database(
        "UPDATE calendars SET summary = NULL, etag = 2 WHERE id = 'bob-projects'",
        "DELETE FROM acls WHERE id = 1",
        "INSERT INTO acls VALUES (3, 'bob-development', 'carol', 'writer')",
        "INSERT INTO log VALUES ('ended')",
    )
    assert changes(INITIAL, final) == [
        "insert acls id=3",
        "delete acls id=1",
        "update calendars id='bob-projects': summary 'Projects' → null, etag 1 → 2",
        "insert log rowid=2",
    ]
    assert changes(INITIAL, INITIAL) == []
    rewritten = database("CREATE TABLE t (a)", "DROP TABLE t", "UPDATE acls SET role = role", "VACUUM")
    assert changes(INITIAL, rewritten) == []


def test_a_row_that_went_and_came_back_is_no_change_but_a_new_key_is_two() -> None:
    again = database("DELETE FROM acls WHERE id = 1", "INSERT INTO acls VALUES (1, 'bob-projects', 'bob', 'owner')")
    assert changes(INITIAL, again) == []
    renamed = database("UPDATE calendars SET id = 'other' WHERE id = 'bob-projects'")
    assert changes(INITIAL, renamed) == ["insert calendars id='other'", "delete calendars id='bob-projects'"]


def test_tables_that_come_go_or_change_shape() -> None:
    assert changes(INITIAL, database("CREATE TABLE extra (a)", "INSERT INTO extra VALUES (1)")) == [
        "create table extra",
        "insert extra rowid=1",
    ]
    assert changes(INITIAL, database("DROP TABLE log")) == ["drop table log", "delete log rowid=1"]
    widened = changes(INITIAL, database("ALTER TABLE log ADD COLUMN level DEFAULT 'info'"))
    assert widened == ["alter table log", "update log rowid=1: level null → 'info'"]
    assert changes(INITIAL, database("DROP TABLE log"), "log.*") == []
    assert not verdict(database("CREATE TABLE extra (a)"), [{"table": "extra"}]).passed


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("1", "2", True),
        ("1", "1.0", False),
        ("1", "'1'", True),
        ("'a'", "'A'", True),
        ("'a'", "'a '", True),
        ("'a'", "x'61'", True),
        ("NULL", "''", True),
        ("NULL", "0", True),
        ("9223372036854775807", "9223372036854775806", True),
        ("9e999", "-9e999", True),
        ("CAST(x'fe' AS TEXT)", "CAST(x'ff' AS TEXT)", True),
        ("'a' || char(0) || 'b'", "'a' || char(0) || 'c'", True),
    ],
)
def test_values_are_compared_exactly(before: str, after: str, expected: bool) -> None:
    schema = ["CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB COLLATE NOCASE)"]
    initial = database(f"INSERT INTO t VALUES (1, {before})", schema=schema)
    final = database(f"INSERT INTO t VALUES (1, {after})", schema=schema)
    assert bool(diff_images(initial, final)) is expected
    assert verdict(final, initial=initial).passed is not expected


@pytest.mark.parametrize(
    "table",
    [
        '"a b"',
        '"semi;colon"',
        '"quo\'te"',
        '"dou""ble"',
        '"DROP TABLE acls"',
        '"x) ; --"',
        '"é✓"',
        '"select"',
        '"a.b"',
        '"[x]"',
        '"\'; DELETE FROM acls; --"',
        f'"{"n" * 300}"',
    ],
)
def test_names_are_data(table: str) -> None:
    schema = [f'CREATE TABLE {table} ({table} TEXT, "rowid" TEXT, other TEXT)', f"INSERT INTO {table} VALUES ('k', 'r', 'v')"]
    initial = database(schema=schema)
    final = database(f"UPDATE {table} SET other = 'w'", schema=schema)
    name = table[1:-1].replace('""', '"')
    (change,) = diff_images(initial, final)
    assert (change.table, change.kind, change.columns) == (name, "update", ("other",))
    assert change.before == {name: "k", "rowid": "r", "other": "v"}
    assert not verdict(final, initial=initial).passed
    assert verdict(final, [{"table": name, "where": {name: "k"}, "columns": ["other"]}], initial=initial).passed
    assert diff_images(initial, final, ["*.other"]) == []


def test_tables_without_a_usable_key() -> None:
    schema = ["CREATE TABLE t (rowid TEXT, _rowid_ TEXT, oid TEXT)", "INSERT INTO t VALUES ('a', 'b', 'c'), ('a', 'b', 'c')"]
    initial = database(schema=schema)
    assert changes(initial, database("DELETE FROM t WHERE 1 = (SELECT 1)", schema=schema)) == ["delete t", "delete t"]
    assert changes(initial, database("INSERT INTO t VALUES ('a', 'b', 'c')", schema=schema)) == ["insert t"]
    assert len(changes(initial, database("UPDATE t SET oid = 'd'", schema=schema))) == 4
    nulls = ["CREATE TABLE n (k TEXT PRIMARY KEY, v)", "INSERT INTO n VALUES (NULL, 1), (NULL, 2)"]
    assert changes(database(schema=nulls), database("UPDATE n SET v = 3 WHERE v = 1", schema=nulls)) == [
        "update n rowid=1: v 1 → 3"
    ]


def test_keys_of_several_columns_and_without_rowid() -> None:
    schema = ["CREATE TABLE t (v, b, a, PRIMARY KEY (a, b)) WITHOUT ROWID", "INSERT INTO t VALUES (1, 'x', 2), (1, x'00', 2)"]
    initial = database(schema=schema)
    assert changes(initial, database("UPDATE t SET v = 2 WHERE b = 'x'", schema=schema)) == ["update t a=2, b='x': v 1 → 2"]


def test_generated_columns_follow_from_the_others() -> None:
    columns = "id INTEGER PRIMARY KEY, a INT, b INT AS (a + 1) STORED, c INT AS (a + 2)"
    schema = [f"CREATE TABLE t ({columns})", "INSERT INTO t (a) VALUES (1)"]
    initial, final = database(schema=schema), database("UPDATE t SET a = 5", schema=schema)
    assert verdict(final, [{"table": "t", "columns": ["a"]}], initial=initial).passed


def test_sqlites_own_tables_and_the_shadows_of_virtual_ones_do_not_count() -> None:
    schema = ["CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)", "CREATE VIRTUAL TABLE f USING fts5(words)"]
    try:
        initial = database(schema=schema)
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no FTS5")
    final = database("INSERT INTO t (a) VALUES (1)", "INSERT INTO f VALUES ('hello')", schema=schema)
    assert changes(initial, final) == ["insert f rowid=1", "insert t id=1"]


@pytest.mark.parametrize(
    ("allowed", "passed"),
    [
        ([], False),
        ([{"table": "acls"}], True),
        ([{"table": "ACLS", "where": {"USER_ID": "carol"}}], True),
        ([{"table": "calendars"}], False),
        ([{"table": "acls", "kinds": ["insert"]}], True),
        ([{"table": "acls", "kinds": ["update", "delete"]}], False),
        ([{"table": "acls", "where": {"user_id": "carol", "role": ["writer", "owner"]}}], True),
        ([{"table": "acls", "where": {"user_id": "carol", "role": "owner"}}], False),
        ([{"table": "acls", "where": {"id": "3"}}], False),
        ([{"table": "acls", "where": {"id": [3, None]}}], True),
        ([{"table": "acls", "max_rows": 1}], True),
        ([{"table": "acls", "max_rows": 0}], False),
        ([{"table": "acls", "columns": []}], True),
    ],
)
def test_what_allows_an_insert(allowed: list[dict[str, Any]], passed: bool) -> None:
    assert verdict(database("INSERT INTO acls VALUES (3, 'bob-projects', 'carol', 'writer')"), allowed).passed is passed


@pytest.mark.parametrize(
    ("entry", "passed"),
    [
        ({"where": {"role": "writer"}}, True),
        ({"where": {"role": "reader"}}, False),
        ({"columns": ["role"]}, True),
        ({"columns": ["ROLE", "user_id"]}, True),
        ({"columns": ["user_id"]}, False),
        ({"columns": []}, False),
    ],
)
def test_an_update_is_judged_by_the_row_after_it(entry: dict[str, Any], passed: bool) -> None:
    assert verdict(database("UPDATE acls SET role = 'writer' WHERE id = 2"), [{"table": "acls", **entry}]).passed is passed


def test_a_delete_is_judged_by_the_row_before_it() -> None:
    final = database("DELETE FROM acls WHERE id = 2")
    assert verdict(final, [{"table": "acls", "kinds": ["delete"], "where": {"role": "reader"}}]).passed
    assert not verdict(final, [{"table": "acls", "kinds": ["delete"], "where": {"role": "owner"}}]).passed


def test_rows_are_counted_whatever_the_order_of_the_entries() -> None:
    final = database("UPDATE acls SET role = 'writer'")
    broad, narrow = {"table": "acls", "max_rows": 1}, {"table": "acls", "where": {"id": 1}, "max_rows": 1}
    assert verdict(final, [broad, narrow]).passed
    assert verdict(final, [narrow, broad]).passed
    assert not verdict(final, [broad]).passed
    assert not verdict(final, [narrow, narrow]).passed


def test_book_keeping_is_ignored_and_nothing_besides() -> None:
    final = database("UPDATE calendars SET etag = 9", "INSERT INTO log VALUES ('x')")
    assert verdict(final, ignored=["*.etag", "log.*"]).passed
    assert not verdict(final, ignored=["*.etag"]).passed
    assert not verdict(database("DELETE FROM calendars"), ignored=["*.etag"]).passed
    also = database("UPDATE calendars SET etag = 9, summary = 'x' WHERE id = 'bob-projects'")
    assert verdict(also, [{"table": "calendars", "columns": ["summary"]}], ["calendars.etag"]).passed
    assert not verdict(also, [{"table": "calendars", "columns": ["etag"]}]).passed


def test_patterns() -> None:
    assert is_ignored("Events", "Updated", ["events.updated"])
    assert is_ignored("events", "updated", ["*.upd*"])
    assert is_ignored("events", "updated", ["*"])
    assert not is_ignored("events", "updated", ["event.updated", "events.update", "[a-z]*.updated", "?vents.updated"])
    assert is_ignored("[a]", "b?", ["[a].b?"])
    assert not is_ignored("a" * 50, "b", ["*a" * 90 + ".c"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"table": "acl"}, "names the table 'acl'"),
        ({"table": "acls", "where": {"rule": 1}}, "names the column 'rule'"),
        ({"table": "acls", "columns": ["rule"]}, "names the column 'rule'"),
        ({"table": "acls; --"}, "names the table 'acls; --'"),
    ],
)
def test_entries_that_could_never_allow_anything_are_mistakes(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationFailed, match=message) as caught:
        verdict(INITIAL, [entry])
    assert "acls" in str(caught.value.hint) or "user_id" in str(caught.value.hint)


@pytest.mark.parametrize(
    "config",
    [
        {"allowed": [{"table": "acls", "kind": ["insert"]}]},
        {"allowed": [{"table": "acls", "kinds": ["upsert"]}]},
        {"allowed": [{"table": "acls", "max_rows": -1}]},
        {"allowed": [{"table": "acls", "where": {"id": {"a": 1}}}]},
        {"allowed": {"table": "acls"}},
        {"allowed": [{}]},
        {"ignored": ["etag"]},
        {"ignored": "*.etag"},
        {"only": []},
    ],
)
def test_wrong_configs_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse_verifier({"verifier_type": "state_diff", "validation_config": config})
    assert str(caught.value.field).startswith("validation_config.")


def test_many_changes_are_summed_up() -> None:
    rows = ", ".join(f"({i}, 'c', '{'u' * 3000}', 'reader')" for i in range(100, 400))
    found = verdict(database(f"INSERT INTO acls VALUES {rows}"))
    assert found.details["not_allowed"] == 300
    assert len(found.details["collateral"]) == 20
    assert found.actual[-1] == "and 280 more"
    assert len(json.dumps(found.details)) < 20_000


def test_images_that_are_missing_or_broken_never_pass() -> None:
    with pytest.raises(ExecutionFailed):
        verdict(b"nonsense" * 100)
    verifier = parse_verifier({"verifier_type": "state_diff"})
    for initial, final in ((None, INITIAL), (INITIAL, None)):
        with pytest.raises(Unsupported):
            verifier.verify(Evidence(Episode(), initial, final))


IDS = st.integers(0, 5)
CELLS = st.sampled_from([None, 0, 1, "a", "A", "", b"", b"a"])
MUTATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("INSERT OR REPLACE INTO t VALUES (?, ?, ?)"), st.tuples(IDS, CELLS, CELLS)),
        st.tuples(st.just("DELETE FROM t WHERE id = ?"), st.tuples(IDS)),
        st.tuples(st.just("UPDATE t SET a = ? WHERE id = ?"), st.tuples(CELLS, IDS)),
        st.tuples(st.just("UPDATE OR IGNORE t SET id = ? WHERE id = ?"), st.tuples(IDS, IDS)),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(MUTATIONS, MUTATIONS)
def test_the_difference_of_random_databases(first: list[Any], second: list[Any]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)")

    def after(mutations: list[Any]) -> tuple[bytes, dict[int, dict[str, Any]]]:
        for statement, values in mutations:
            connection.execute(statement, values)
        rows = connection.execute("SELECT id, a, b FROM t").fetchall()
        return connection.serialize(), {row[0]: dict(zip(("id", "a", "b"), row, strict=True)) for row in rows}

    (initial, old), (final, new) = after(first), after(second)
    connection.close()
    expected = {("insert", key) for key in new.keys() - old.keys()} | {("delete", key) for key in old.keys() - new.keys()}
    expected |= {("update", key) for key in old.keys() & new.keys() if old[key] != new[key]}
    found = diff_images(initial, final)
    assert {(change.kind, change.key["id"]) for change in found} == expected
    assert len(found) == len(expected)
    for change in found:
        assert (change.before, change.after) == (old.get(change.key["id"]), new.get(change.key["id"]))
    assert verdict(final, initial=initial).passed is (not expected)
    exactly = [{"table": "t", "kinds": [kind], "where": {"id": key}, "max_rows": 1} for kind, key in expected]
    assert verdict(final, exactly, initial=initial).passed
    if exactly:
        assert not verdict(final, exactly[1:], initial=initial).passed
    backwards = {"insert": "delete", "delete": "insert", "update": "update"}
    assert {(backwards[c.kind], c.key["id"]) for c in diff_images(final, initial)} == expected


@given(
    st.lists(st.sets(st.integers(0, 4)), max_size=6),
    st.lists(st.one_of(st.none(), st.integers(0, 2)), min_size=5, max_size=5),
)
def test_pairing_finds_the_most_pairs_that_there_can_be(options: list[set[int]], room: list[int | None]) -> None:
    def most(index: int, left: tuple[int, ...]) -> int:
        if index == len(options):
            return 0
        best = most(index + 1, left)
        for other in options[index]:
            if left[other] > 0:
                best = max(best, 1 + most(index + 1, (*left[:other], left[other] - 1, *left[other + 1 :])))
        return best

    given_to = pair_up(len(options), 5, lambda one, other: other in options[one], room)
    limits = tuple(99 if limit is None else limit for limit in room)
    assert sum(other is not None for other in given_to) == most(0, limits)
    for one, other in enumerate(given_to):
        assert other is None or other in options[one]
    assert all(given_to.count(other) <= limits[other] for other in range(5))
