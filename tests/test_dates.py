"""dates.py beside `datetime` and `calendar`."""

from __future__ import annotations

import calendar
import datetime

from hypothesis import given
from hypothesis import strategies as st

from pybootcfg.filesystems import dates


@given(st.datetimes(min_value=datetime.datetime(1, 1, 1), max_value=datetime.datetime(9999, 12, 31)))
def test_every_moment_is_that_of_datetime(moment: datetime.datetime) -> None:
    parts = moment.timetuple()[:6]
    assert dates.timestamp(*parts) == calendar.timegm(parts)
    assert dates.is_day(*parts[:3])


@given(st.integers(1, 9999), st.integers(1, 12), st.integers(1, 31), st.integers(0, 40), st.integers(0, 99))
def test_what_is_too_much_runs_on(year: int, month: int, day: int, hour: int, minute: int) -> None:
    assert dates.timestamp(year, month, day, hour, minute) == calendar.timegm(
        (year, month, day, hour, minute, 0)
    )


@given(st.integers(1, 9999), st.integers(-1, 20), st.integers(-1, 40))
def test_days_that_there_are_not(year: int, month: int, day: int) -> None:
    try:
        datetime.date(year, month, day)
    except ValueError:
        assert not dates.is_day(year, month, day)
    else:
        assert dates.is_day(year, month, day)
