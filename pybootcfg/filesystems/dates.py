"""From the calendar to seconds; the standard modules for that cost more to import than reading a guest."""

from __future__ import annotations

_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)  # days before each month, and in all
_EPOCH = 719_162  # days from the first of January of the year 1 to that of 1970


def timestamp(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """Return seconds since 1970 UTC of a moment in the Gregorian calendar.

    The month must be one from 1 to 12; days, hours, minutes and seconds too many run on into the next.

    >>> timestamp(2024, 2, 30) == timestamp(2024, 3, 1)
    True
    """
    before = year - 1
    days = 365 * before + before // 4 - before // 100 + before // 400
    days += _BEFORE[month - 1] + (month > 2 and _is_leap(year)) + day - 1
    return (((days - _EPOCH) * 24 + hour) * 60 + minute) * 60 + second


def is_day(year: int, month: int, day: int) -> bool:
    """Tell whether there is such a day."""
    if not 1 <= month <= 12:
        return False
    return 1 <= day <= _BEFORE[month] - _BEFORE[month - 1] + (month == 2 and _is_leap(year))


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
