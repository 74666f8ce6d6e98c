"""Rules against known dates, and against dateutil where it can be asked the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule
from hypothesis import given, settings
from hypothesis import strategies as st

from calendar_env.recurrence import InvalidRecurrence, Series
from calendar_env.rules import MAX_EXAMINED, Search
from calendar_env.times import zone

NEW_YORK = zone("America/New_York")


def at(text: str, local: ZoneInfo | None = None) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=local or UTC).astimezone(UTC)


def days(series: Series, low: str = "2026-01-01", high: str = "2030-01-01", limit: int | None = None) -> list[str]:
    """The local dates on which it happens."""
    starts = series.starts(at(low), at(high), limit)
    return [start.astimezone(series.zone or UTC).date().isoformat() for start in starts]


def timed(*lines: str, start: str = "2026-01-06T10:00", local: ZoneInfo = NEW_YORK) -> Series:
    return Series(lines, at(start, local), local)


def all_day(*lines: str, start: str = "2026-01-06") -> Series:
    return Series(lines, at(start), None)


def test_count_includes_the_first() -> None:
    assert days(timed("RRULE:FREQ=DAILY;COUNT=3")) == ["2026-01-06", "2026-01-07", "2026-01-08"]


def test_until_is_inclusive_and_in_utc() -> None:
    # Ten o'clock in New York is 15:00 UTC.
    assert days(timed("RRULE:FREQ=DAILY;UNTIL=20260108T150000Z"))[-1] == "2026-01-08"
    assert days(timed("RRULE:FREQ=DAILY;UNTIL=20260108T145959Z"))[-1] == "2026-01-07"
    assert days(timed("RRULE:FREQ=DAILY;UNTIL=20260108"))[-1] == "2026-01-08"
    assert days(all_day("RRULE:FREQ=DAILY;UNTIL=20260108"))[-1] == "2026-01-08"


def test_the_wall_clock_stays_when_summer_time_begins() -> None:
    # On 2026-03-08 New York goes from -05:00 to -04:00.
    series = timed("RRULE:FREQ=WEEKLY", start="2026-03-03T09:00")
    starts = series.starts(at("2026-03-01"), at("2026-03-15"))
    assert [start.isoformat() for start in starts] == ["2026-03-03T14:00:00+00:00", "2026-03-10T13:00:00+00:00"]


def test_a_time_that_a_clock_change_skips_happens_once() -> None:
    series = timed("RRULE:FREQ=DAILY;COUNT=3", start="2026-03-07T02:30")
    assert len(series.starts(at("2026-03-01"), at("2026-04-01"))) == 3


def test_numbered_and_last_weekdays() -> None:
    assert days(timed("RRULE:FREQ=MONTHLY;BYDAY=2TU;COUNT=3", start="2026-01-13T10:00")) == [
        "2026-01-13",
        "2026-02-10",
        "2026-03-10",
    ]
    assert days(timed("RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=2", start="2026-01-30T10:00")) == ["2026-01-30", "2026-02-27"]
    assert days(all_day("RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;COUNT=2", start="2026-11-26")) == ["2026-11-26", "2027-11-25"]


def test_the_thirty_first_skips_short_months() -> None:
    assert days(all_day("RRULE:FREQ=MONTHLY;COUNT=3", start="2026-01-31")) == ["2026-01-31", "2026-03-31", "2026-05-31"]
    assert days(all_day("RRULE:FREQ=YEARLY;COUNT=2", start="2028-02-29"), high="2040-01-01") == ["2028-02-29", "2032-02-29"]


def test_workdays_every_second_week() -> None:
    series = timed("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH;COUNT=4")
    assert days(series) == ["2026-01-06", "2026-01-08", "2026-01-20", "2026-01-22"]


def test_dates_are_added_and_left_out() -> None:
    series = timed(
        "RRULE:FREQ=WEEKLY;COUNT=4",
        "EXDATE;TZID=America/New_York:20260113T100000",
        "EXDATE:20260120T150000Z",
        "RDATE;TZID=Europe/London:20260115T120000",
    )
    assert days(series) == ["2026-01-06", "2026-01-15", "2026-01-27"]
    assert days(timed("RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE:20260107")) == ["2026-01-06", "2026-01-08"]
    assert days(all_day("RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE:20260107")) == ["2026-01-06", "2026-01-08"]
    assert days(timed("RDATE:20260201T150000Z,20260110T150000Z")) == ["2026-01-10", "2026-02-01"]
    assert days(timed("RRULE:FREQ=DAILY;COUNT=4", "EXRULE:FREQ=DAILY;INTERVAL=2")) == ["2026-01-07", "2026-01-09"]


def test_an_occurrence_is_known_by_its_exact_start() -> None:
    series = timed("RRULE:FREQ=WEEKLY;BYDAY=TU")
    assert series.has(at("2026-01-13T10:00", NEW_YORK))
    assert not series.has(at("2026-01-13T10:01", NEW_YORK))
    assert not series.has(at("2025-12-30T10:00", NEW_YORK))


def test_far_windows_are_reached_without_counting_through() -> None:
    series = Series(("RRULE:FREQ=DAILY;INTERVAL=3",), at("1900-01-01T00:00"), zone("UTC"))
    found = series.starts(at("2026-01-01"), at("2026-01-20"))
    first = date(1900, 1, 1)
    assert [(start.date() - first).days % 3 for start in found] == [0] * len(found)
    assert len(found) in (6, 7)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "FREQ=DAILY",
        "RRULE:",
        "RRULE:FREQ=HOURLY",
        "RRULE:FREQ=DAILY;INTERVAL=0",
        "RRULE:FREQ=DAILY;INTERVAL=-1",
        "RRULE:FREQ=DAILY;COUNT=0",
        "RRULE:FREQ=DAILY;COUNT=99999",
        "RRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101",
        "RRULE:FREQ=DAILY;FREQ=DAILY",
        "RRULE:FREQ=DAILY;BYHOUR=1,2",
        "RRULE:FREQ=DAILY;BYMINUTE=" + ",".join(map(str, range(60))),
        "RRULE:FREQ=DAILY;BYEASTER=0",
        "RRULE:FREQ=DAILY;BYMONTHDAY=0",
        "RRULE:FREQ=DAILY;BYMONTH=13",
        "RRULE:FREQ=WEEKLY;BYDAY=XX",
        "RRULE:FREQ=WEEKLY;BYDAY=2MO",
        "RRULE:FREQ=MONTHLY;BYDAY=0MO",
        "RRULE:FREQ=MONTHLY;BYDAY=53MO",
        "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-6MO",
        "RRULE:FREQ=YEARLY;BYDAY=54MO",
        "RRULE:FREQ=DAILY;UNTIL=tomorrow",
        "RRULE:FREQ=DAILY;UNTIL=20261301",
        "RRULE:FREQ=DAILY;UNTIL=99991231T000000Z",
        "RRULE:FREQ=DAILY;WKST=1",
        "RDATE;VALUE=PERIOD:20260101T000000Z/PT1H",
        "EXDATE:20260101T000000Z",
        "EXDATE;TZID=../../etc/passwd:20260101T000000",
        "DTSTART:20260101T000000Z",
        "RRULE:FREQ=DAILY\nDTSTART:20260101T000000Z",
        "RRULE:FREQ=DAILY;" + "X" * 3000,
        "RRULE:FREQ=DAILY;COUNT=1e3",
        "RRULE:FREQ=DAILY;COUNT=٣",
    ],
)
def test_lines_that_make_no_series_are_refused(line: str) -> None:
    with pytest.raises(InvalidRecurrence):
        timed(line)


@pytest.mark.parametrize("rule", ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31;COUNT=5"])
def test_a_rule_that_never_happens_ends_and_is_known_to_be_empty(rule: str) -> None:
    with pytest.raises(InvalidRecurrence, match="no occurrence"):
        timed(f"RRULE:{rule}").check()


def test_a_search_looks_at_no_more_days_than_the_window_has() -> None:
    ten_years = 3670
    for rule, most in (
        ("FREQ=DAILY;BYSETPOS=366", ten_years),
        ("FREQ=WEEKLY;BYSETPOS=366", ten_years),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", 11 * 29),
        ("FREQ=MONTHLY;BYMONTH=2;INTERVAL=5;BYMONTHDAY=31", 5 * 29),
        ("FREQ=DAILY;INTERVAL=1000;BYMONTHDAY=31;BYMONTH=2", 4),
    ):
        search = Search()
        with pytest.raises(InvalidRecurrence, match="no occurrence"):
            timed(f"RRULE:{rule}", start="1900-01-01T10:00").check(search)
        assert 0 < search.examined <= most, rule


def test_a_search_that_looks_at_too_many_days_is_refused_and_ends() -> None:
    three_hundred_years = 301 * 366
    never = [f"RRULE:FREQ=DAILY;BYSETPOS=366;COUNT={count}" for count in range(1, 51)]
    series = timed(*never, "RRULE:FREQ=YEARLY", start="1900-01-01T10:00")
    search = Search()
    with pytest.raises(InvalidRecurrence, match="more than 200000 days to look at"):
        series.check(search)
    assert search.examined <= MAX_EXAMINED + three_hundred_years
    assert series.starts(at("1900-01-01"), at("2028-01-01")) == []
    short = Search(limit=100)
    found = list(timed("RRULE:FREQ=DAILY", start="1900-01-01T10:00")._starts(at("1900-01-01"), at("2028-01-01"), short))
    assert (len(found), short.examined, short.exhausted) == (100, 100, True)


def test_a_far_window_of_any_frequency_is_reached_at_once() -> None:
    for frequency, most in (("DAILY", 10), ("WEEKLY", 21), ("MONTHLY", 93), ("YEARLY", 62)):
        search = Search()
        series = timed(f"RRULE:FREQ={frequency};BYDAY=MO,TU,WE,TH,FR,SA,SU;BYMONTH=1,2", start="1900-01-01T10:00")
        assert len(list(series._starts(at("2026-01-12"), at("2026-01-19"), search))) == 7
        assert search.examined <= most, frequency


def test_numbered_and_plain_weekdays_in_one_rule_both_count() -> None:
    found = days(all_day("RRULE:FREQ=MONTHLY;BYDAY=MO,2TU"), high="2026-02-01")
    assert found == ["2026-01-12", "2026-01-13", "2026-01-19", "2026-01-26"]


def test_the_last_week_of_a_year_goes_on_in_january() -> None:
    # With weeks from Sunday, 2026 has 52 and its last one begins on 27 December; with weeks from Monday it has 53.
    assert days(all_day("RRULE:FREQ=DAILY;BYWEEKNO=52;WKST=SU"), low="2026-12-20", high="2027-02-01") == [
        *("2026-12-27", "2026-12-28", "2026-12-29", "2026-12-30", "2026-12-31", "2027-01-01", "2027-01-02")
    ]
    assert days(all_day("RRULE:FREQ=YEARLY;BYWEEKNO=-1;BYDAY=MO,SU"), high="2028-01-01") == [
        *("2026-12-28", "2027-01-03", "2027-12-27"),
    ]


def test_positions_are_those_of_the_whole_week_in_every_window() -> None:
    series = all_day("RRULE:FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1,-1", start="2026-01-07")
    expected = ["2026-01-09", "2026-01-12", "2026-01-16", "2026-01-19", "2026-01-23"]
    assert days(series, high="2026-01-24") == expected
    assert days(series, low="2026-01-10", high="2026-01-24") == expected[1:]
    assert days(series, low="2026-01-14", high="2026-01-24") == expected[2:]


# Every rule here happens now and then: dateutil looks for one that never does until the year 9999. Nor are there last
# weeks of years, of which dateutil leaves out the days in January.
rules = st.builds(
    lambda rhythm, extra, week, end: f"FREQ={rhythm}{extra}{week}{end}",
    st.sampled_from(
        [
            *("DAILY", "DAILY;INTERVAL=2", "DAILY;INTERVAL=3", "DAILY;INTERVAL=10", "WEEKLY", "WEEKLY;INTERVAL=2"),
            *("WEEKLY;INTERVAL=5", "MONTHLY", "MONTHLY;INTERVAL=5", "MONTHLY;INTERVAL=7", "YEARLY", "YEARLY;INTERVAL=3"),
        ]
    ),
    st.sampled_from(
        [
            "",
            ";BYDAY=MO,WE",
            ";BYDAY=FR;BYMONTHDAY=13",
            ";BYMONTHDAY=1,15,-1",
            ";BYMONTHDAY=-31,29,30",
            ";BYMONTH=1,6,12",
            ";BYMONTH=2;BYDAY=MO,WE",
            ";BYYEARDAY=1,60,-1,-307",
            ";BYWEEKNO=1,10,20,40",
            ";BYWEEKNO=10;BYDAY=TU",
        ]
    ),
    st.sampled_from(["", ";WKST=SU", ";WKST=WE"]),
    st.sampled_from(["", ";COUNT=7", ";UNTIL=20270301T000000"]),
)
numbered_rules = st.builds(
    lambda rhythm, days: f"FREQ={rhythm};BYDAY={days}",
    st.sampled_from(["MONTHLY", "YEARLY;BYMONTH=3,10", "YEARLY", "MONTHLY;INTERVAL=2"]),
    st.sampled_from(
        [
            *("2TU", "-1FR,1MO", "5SU,-5WE", "2TU;BYSETPOS=1", "-1FR,1MO;BYSETPOS=-1,2", "MO,TU,WE,TH,FR"),
            *("MO,TU,WE,TH,FR;BYSETPOS=-1", "MO,TU,WE,TH,FR;BYSETPOS=5,-3"),
        ]
    ),
)


@settings(max_examples=400, deadline=None)
@given(rules | numbered_rules, st.dates(date(2020, 1, 1), date(2026, 6, 1)), st.integers(0, 900), st.integers(1, 400))
def test_windows_agree_with_dateutil(rule: str, first: date, offset: int, length: int) -> None:
    begin = datetime(first.year, first.month, first.day, 9)
    low = begin + timedelta(days=offset)
    high = low + timedelta(days=length)
    plain = rrule.rrulestr(rule, dtstart=begin)
    expected = [start.replace(tzinfo=UTC) for start in takewhile(lambda start: start < high, plain) if start >= low]
    series = Series((f"RRULE:{rule}",), begin.replace(tzinfo=UTC), zone("UTC"))
    assert series.starts(low.replace(tzinfo=UTC), high.replace(tzinfo=UTC)) == expected
