from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openenv.errors import ExecutionFailed, QueryRefused, QueryTooExpensive
from openenv.verifiers import QueryBudget, run_query
from openenv.verifiers.expansion import check_expansion
from openenv.verifiers.image import json_cell
from tests.verifiers.databases import database

IMAGE = database()
ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)"
BIG = "(SELECT printf('%999000d', 1) AS v)"


def test_rows_and_columns_as_json_has_them() -> None:
    found = run_query(IMAGE, "SELECT user_id AS who, role, x'ff00' AS raw, 1.5 AS real, NULL AS empty FROM acls ORDER BY id --")
    assert found.columns == ["who", "role", "raw", "real", "empty"]
    assert found.rows == [["bob", "owner", {"blob": "ff00"}, 1.5, None], ["alice_manager", "reader", {"blob": "ff00"}, 1.5, None]]
    odd = run_query(IMAGE, "SELECT 9e999, -9e999, CAST(x'66ff' AS TEXT)")
    assert odd.rows == [["Infinity", "-Infinity", "f\ufffd"]]
    assert json.loads(json.dumps(odd.rows, allow_nan=False)) == odd.rows


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COUNT(*) FROM acls WHERE role IN ('writer', 'reader') AND user_id LIKE 'ALICE%'",
        "VALUES (1)",
        "SELECT count(*) FROM json_each('[1]')",
        "SELECT value ->> '$.a' FROM json_each('[{\"a\": 1}]')",
        "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 9) SELECT count(*) - 8 FROM r",
        "SELECT max(row_number) FROM (SELECT row_number() OVER (ORDER BY id) AS row_number FROM calendars LIMIT 1)",
        "SELECT instr(datetime('2026-01-05', '+1 day'), '026')-1;",
    ],
)
def test_ordinary_reading_works(query: str) -> None:
    assert run_query(IMAGE, query).rows == [[1]]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM acls",
        "DELETE FROM acls RETURNING id",
        "INSERT INTO acls VALUES (9, 'x', 'y', 'z')",
        "UPDATE acls SET role = 'owner'",
        "REPLACE INTO acls VALUES (1, 'x', 'y', 'z')",
        "WITH x AS (SELECT 1) DELETE FROM acls",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON acls BEGIN DELETE FROM acls; END",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "DROP TABLE acls",
        "ALTER TABLE acls ADD COLUMN x",
        "CREATE INDEX i ON acls (role)",
        "REINDEX acls",
        "ANALYZE",
        "VACUUM",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT s",
        "PRAGMA user_version",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "SELECT * FROM pragma_table_info('acls')",
        "SELECT * FROM pragma_user_version",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "EXPLAIN DELETE FROM acls",
        "SELECT load_extension('x')",
        "SELECT 1 WHERE load_extension('x') OR 1",
        "SELECT \"load_extension\"('x')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT readfile('/etc/passwd')",
        "SELECT edit('x')",
        "SELECT sqlite_version()",
        "SELECT zeroblob(10)",
        "SELECT 'a' REGEXP 'b'",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE acls",
        "",
        "  \n",
        "-- nothing",
        "SELECT ?",
        "SELECT :name",
        "SELEKT 1",
        "SELECT 'a\0b'",
        "SELECT '\ud800'",
        "SELECT 'a' LIKE 'b' ESCAPE 'cc'",
        f"SELECT {'(' * 500}1{')' * 500}",
        f"SELECT {'+'.join(['id'] * 500)} FROM acls",
        f"SELECT {','.join(['1'] * 500)}",
        f"SELECT 1 {'UNION SELECT 1 ' * 50}",
    ],
)
def test_what_does_not_only_read_is_refused(query: str) -> None:
    before = bytes(bytearray(IMAGE))
    with pytest.raises(QueryRefused) as caught:
        run_query(IMAGE, query)
    assert before == IMAGE
    body = caught.value.body()
    assert body["field"] == "query"
    assert body["hint"]
    assert body["message"]
    json.dumps(body)


@pytest.mark.parametrize("statement", ["ATTACH '{}' AS other", "VACUUM INTO '{}'"])
def test_no_file_is_made(tmp_path: Path, statement: str) -> None:
    target = tmp_path / "made.db"
    with pytest.raises(QueryRefused):
        run_query(IMAGE, statement.format(target))
    assert not target.exists()


@pytest.mark.parametrize("call", ["random()", "randomblob(4)", "CURRENT_TIMESTAMP", "current_date", "CURRENT_TIME"])
def test_answers_that_would_change_are_refused(call: str) -> None:
    with pytest.raises(QueryRefused, match="would change from one time to the next"):
        run_query(IMAGE, f"SELECT {call}")


@pytest.mark.parametrize(
    "query",
    [
        f"{ENDLESS} SELECT max(x) FROM r",
        f"{ENDLESS} SELECT x FROM r",
        "SELECT count(*) FROM acls a, acls b, acls c, acls d, acls e, acls f, acls g, acls h, acls i, acls j, acls k, acls l, "
        "acls m, acls n, acls o, acls p, acls q, acls r, acls s, acls t, acls u, acls v, acls w, acls x, acls y",
        "SELECT hex(hex(v)) FROM (SELECT printf('%300000d', 1) AS v)",
        f"SELECT replace(v, ' ', v) FROM {BIG}",
        f"SELECT v || v || v FROM {BIG}",
        f"WITH RECURSIVE r(x) AS (SELECT v FROM {BIG} UNION ALL SELECT x || 'a' FROM r) SELECT count(*) FROM r",
        "WITH RECURSIVE r(x) AS (SELECT 'a' UNION ALL SELECT x || x FROM r) SELECT x FROM r",
        "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT group_concat(x, 'long text between') FROM r",
        f"SELECT instr(v, substr(v, 2) || 'b') FROM {BIG}",
        f"SELECT v LIKE '{'%a' * 400}' FROM {BIG}",
        f"SELECT v GLOB '{'*[b-z]' * 100}' FROM {BIG}",
        f"SELECT trim(v, v || 'b') FROM {BIG}",
        f"SELECT rtrim(v, substr(v, 1, 100000)) FROM {BIG}",
        f"SELECT v, v FROM {BIG}",
        f"SELECT {' + '.join(['abs(id)'] * 90)}, {' + '.join(['abs(id)'] * 90)}, {' + '.join(['abs(id)'] * 90)} FROM acls",
        "SELECT '" + "x" * 30_000 + "'",
        "SELECT '" + "é" * 15_000 + "'",
        "SELECT SELECT" + ") AS (" * 500_000,
    ],
)
def test_what_costs_too_much_is_stopped(query: str) -> None:
    with pytest.raises(QueryTooExpensive) as caught:
        run_query(IMAGE, query)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("budget", "query", "message"),
    [
        (QueryBudget(max_rows=1), "SELECT id FROM acls", "more than 1 rows"),
        (QueryBudget(max_result_bytes=20), "SELECT calendar_id FROM acls", "more than 20 bytes"),
        (QueryBudget(max_instructions=1_000), f"{ENDLESS} SELECT max(x) FROM r", "more than 1000 instructions"),
        (QueryBudget(max_cpu_s=0), f"{ENDLESS} SELECT max(x) FROM r", "more than 0 s of processor time"),
        (QueryBudget(max_value_bytes=10), "SELECT calendar_id FROM acls", "more than 10 bytes"),
        (QueryBudget(max_product=10), "SELECT user_id LIKE '%alice%' FROM acls", "too long"),
        (QueryBudget(max_sql_bytes=10), "SELECT id FROM acls", "longer than 10 bytes"),
    ],
)
def test_every_limit_is_the_callers_to_set(budget: QueryBudget, query: str, message: str) -> None:
    with pytest.raises(QueryTooExpensive, match=message):
        run_query(IMAGE, query, budget)


def test_a_value_over_the_limit_matters_only_when_it_is_read() -> None:
    image = database(f"INSERT INTO calendars VALUES ('big', '{'x' * 5000}', 'bob', 1)")
    budget = QueryBudget(max_value_bytes=1000)
    assert run_query(image, "SELECT COUNT(*) FROM calendars WHERE id = 'big'", budget).rows == [[1]]
    with pytest.raises(QueryTooExpensive) as caught:
        run_query(image, "SELECT summary FROM calendars WHERE id = 'big'", budget)
    assert "length(column)" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["c{}", '"c{}"', "[c{}]", "`c{}`", "✓{}", "\u00a0{}", '"{} +"'])
def test_tables_of_a_with_cannot_multiply(name: str) -> None:
    def chain(length: int) -> str:
        names = [name.format("x" * i) for i in range(1, length + 1)]
        pairs = zip(names[1:], names[:-1], strict=True)
        steps = [f", {table} AS /**/ (SELECT 1 FROM {before} a JOIN {before} b)" for table, before in pairs]
        return f"WITH {names[0]} AS NOT MATERIALIZED (SELECT 1){''.join(steps)} SELECT count(*) FROM {names[-1]}"

    assert run_query(IMAGE, chain(5)).rows == [[1]]
    with pytest.raises(QueryTooExpensive, match="grow"):
        run_query(IMAGE, chain(25))


@pytest.mark.parametrize(
    ("definition", "use"),
    [
        ("{} AS x", "x"),
        ("{} x", "x"),
        ("{} '\u00a0'", "[\u00a0]"),
        ('{} + NULL "+"', '"+"'),
        ("{} + 1. x", "x"),
        ("{} + '' x", "x"),
        ("CASE WHEN 1 THEN {} END/**/key", "key"),
        ("{}+1", '"{}+1"'),
    ],
)
def test_expressions_of_subqueries_cannot_multiply(definition: str, use: str) -> None:
    query, column = "SELECT id FROM acls", "id"
    for _ in range(5):
        expression = "+".join([column] * 60)
        query, column = f"SELECT {definition.format(expression)} FROM ({query})", use.format(expression)
        if len(query) > 15_000:
            break
    with pytest.raises(QueryTooExpensive, match="grow"):
        run_query(IMAGE, query, QueryBudget(max_sql_bytes=10_000_000))


def test_columns_of_a_with_cannot_multiply() -> None:
    steps = "".join(f", c{i}(x) AS (SELECT {'+'.join(['x'] * 30)} FROM c{i - 1})" for i in range(1, 7))
    with pytest.raises(QueryTooExpensive, match="grow"):
        run_query(IMAGE, f"WITH c0(x) AS (SELECT id FROM acls){steps} SELECT x FROM c6")


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT {', '.join(f'count(*) AS c{i}' for i in range(50))} FROM (SELECT role AS r, user_id AS u FROM acls)",
        """WITH RECURSIVE days(day, n) AS (SELECT '2026-01-05', 1 UNION ALL
                                        SELECT date(day, '+1 day'), n + 1 FROM days WHERE n < 7),
        busy AS (SELECT a.user_id AS who, c.summary AS what, count(*) AS times
                 FROM acls a JOIN calendars c ON c.id = a.calendar_id GROUP BY a.user_id, c.summary),
        most AS (SELECT who, max(times) AS times FROM busy GROUP BY who)
        SELECT d.day, m.who, m.times, b.what FROM days d JOIN most m ON 1 = 1 JOIN busy b ON b.who = m.who AND b.times = m.times
        WHERE m.who IN (SELECT user_id FROM acls WHERE role = 'reader' AND user_id NOT IN (SELECT owner FROM calendars))
        ORDER BY d.day, m.who, b.what""",
        "SELECT c.id, (SELECT count(*) FROM acls a WHERE a.calendar_id = c.id) AS n, (SELECT max(role) FROM acls a WHERE "
        "a.calendar_id = c.id) AS top FROM calendars c "
        "WHERE EXISTS (SELECT 1 FROM acls a WHERE a.calendar_id = c.id AND a.id > 0)",
    ],
)
def test_queries_with_many_subqueries_are_not_taken_for_such(query: str) -> None:
    assert run_query(IMAGE, query).rows


@given(st.text(alphabet="with as()[]'\"`-/*.,cC\n 1x\u00a0", max_size=300))
def test_looking_for_growth_takes_any_text(text: str) -> None:
    with suppress(QueryTooExpensive):
        check_expansion("select select " + text)


def test_mistakes_are_explained_with_what_there_is() -> None:
    with pytest.raises(QueryRefused, match="no such table: events") as caught:
        run_query(IMAGE, "SELECT * FROM events")
    assert "acls (id, calendar_id, user_id, role); calendars (id, summary, owner, etag)" in str(caught.value.hint)
    with pytest.raises(QueryRefused, match="no such column: rule") as caught:
        run_query(IMAGE, "SELECT rule FROM acls")
    assert "acls (id, calendar_id, user_id, role)" in str(caught.value.hint)
    with pytest.raises(QueryRefused, match='near "FORM": syntax error'):
        run_query(IMAGE, "SELECT * FORM acls")


def test_an_image_in_wal_mode_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "wal.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (7);")
    image = connection.serialize()
    connection.close()
    assert image[18:20] == b"\x02\x02"
    before = bytes(bytearray(image))
    assert run_query(image, "SELECT a FROM t").rows == [[7]]
    assert image == before


def test_texts_that_are_not_utf_8_are_named_when_a_function_cannot_take_them() -> None:
    image = database("INSERT INTO log VALUES (CAST(x'61ff' AS TEXT))")
    assert run_query(image, "SELECT line FROM log WHERE rowid = 2").rows == [["a\ufffd"]]
    with pytest.raises(QueryRefused, match="not UTF-8"):
        run_query(image, "SELECT line LIKE 'a%' FROM log")


def test_no_bytes_are_an_empty_database() -> None:
    assert run_query(b"", "SELECT COUNT(*) FROM sqlite_master").rows == [[0]]
    with pytest.raises(QueryRefused, match="no such table") as caught:
        run_query(b"", "SELECT * FROM t")
    assert caught.value.hint == "The database has no tables."


@pytest.mark.parametrize("image", [b"x", b"garbage" * 1000, IMAGE[:600], IMAGE[:18] + b"\x02\x02" + b"\xff" * 4000])
def test_bytes_that_are_no_database(image: bytes) -> None:
    with pytest.raises(ExecutionFailed, match=f"{len(image)} bytes"):
        run_query(image, "SELECT 1")


def test_a_table_wider_than_a_result_may_be_can_still_be_read() -> None:
    columns = ", ".join(f"c{i}" for i in range(500))
    image = database(schema=[f"CREATE TABLE wide ({columns})", "INSERT INTO wide (c499) VALUES (5)"])
    assert run_query(image, "SELECT c499 FROM wide").rows == [[5]]
    with pytest.raises(QueryRefused, match="too many columns"):
        run_query(image, "SELECT * FROM wide")


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(alphabet="aAbB%_*?[]-é ß\n", max_size=8),
    st.binary(max_size=4).filter(lambda data: data.isascii()),
)


@given(first=VALUES, second=VALUES, third=VALUES)
def test_guarded_functions_are_sqlites_own(first: object, second: object, third: object) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b, c)")
    connection.execute("INSERT INTO t VALUES (?, ?, ?)", (first, second, third))
    connection.commit()
    query = (
        "SELECT a LIKE b, a GLOB b, instr(a, b), replace(a, b, c), trim(a, b), ltrim(a, b), rtrim(a, b), "
        "typeof(replace(a, b, c)), a NOT LIKE b, like(a, b, '!'), trim(a) FROM t"
    )
    expected = list(connection.execute(query.replace("SELECT", "SELECT '',", 1)).fetchone())[1:]
    found = run_query(connection.serialize(), query).rows[0]
    connection.close()
    assert found == [json_cell(value) for value in expected]


WORDS = """SELECT FROM WHERE acls calendars log id role * ( ) , ; 'x' 1 -1 9e999 x'00' NULL AS WITH RECURSIVE r UNION ALL JOIN ON
    DELETE INSERT INTO UPDATE SET DROP TABLE CREATE TEMP VIEW INDEX PRAGMA writable_schema query_only = ON ATTACH ':memory:'
    VACUUM BEGIN COMMIT count(*) group_concat(role) printf('%99999999d',1) zeroblob(1000000000) randomblob(9) load_extension('x')
    LIKE '%a%a%' GLOB || + - / -- /* */ ORDER BY LIMIT 1000000 GROUP HAVING OVER json_each('[1]') pragma_table_info('acls')
    sqlite_master EXPLAIN QUERY PLAN RETURNING VALUES (1) CASE WHEN THEN END CAST(1 COLLATE NOCASE IN EXISTS NOT"""
FRAGMENTS = st.sampled_from(WORDS.split())


@settings(max_examples=300, deadline=None)
@example("--SELECTSELECT")
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(FRAGMENTS, max_size=25).map(" ".join),
        st.lists(FRAGMENTS, max_size=15).map(lambda parts: "SELECT " + " ".join(parts)),
    )
)
def test_no_text_changes_the_image_or_gets_past_the_limits(query: str) -> None:
    before = bytes(bytearray(IMAGE))
    budget = QueryBudget(max_instructions=100_000, max_cpu_s=1)
    try:
        found = run_query(IMAGE, query, budget)
    except QueryRefused as error:
        json.dumps(error.body())
    else:
        assert len(found.rows) <= budget.max_rows
        assert all(len(row) == len(found.columns) for row in found.rows)
        json.dumps(found.rows, allow_nan=False)
    assert before == IMAGE
    assert run_query(IMAGE, "SELECT (SELECT count(*) FROM acls), (SELECT count(*) FROM sqlite_master)").rows == [[2, 4]]


CLOCKS = [
    "date()",
    "julianday('now')",
    "datetime('NOW ')",
    "strftime('%s')",
    "datetime(char(110,111,119))",
    "time('12:00', 'localtime')",
]


@pytest.mark.parametrize("call", CLOCKS)
def test_the_clock_is_not_to_be_read(call: str) -> None:
    image = database("CREATE TABLE t(x);")
    with pytest.raises(QueryRefused, match="present time"):
        run_query(image, f"SELECT {call}")
    assert run_query(image, "SELECT date('2026-01-31', '+1 day'), strftime('%Y', '2026-01-05')").rows == [["2026-02-01", "2026"]]
