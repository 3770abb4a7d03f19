"""Fields whose values say more to people than their numbers: times, modes, sizes as powers of two.

A field's unit is what Construct calls its documentation: `"s_checkinterval" / Int32ul * "seconds"`.
A place on a volume has the unit that it is counted in, from the start of the volume unless a comment
says otherwise.

A `Meaning` wraps a field and puts its value into words.  Both are for `inspect` alone: a decoder reads
the number.
"""

import stat
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from construct import Bytes, Subconstruct

_EPOCH = datetime(1970, 1, 1)


class Meaning(Subconstruct):  # type: ignore[misc]  # Construct has no types
    """A field whose value has words; `symbol` returns them, or None where the value has no meaning."""

    @abstractmethod
    def symbol(self, value: Any) -> str | None:
        """Put a value into words; each kind of field has its own."""


class UnixTime(Meaning):
    """Seconds since 1970, UTC."""

    def symbol(self, value: int) -> str | None:
        """Return the time as ISO 8601 has it, with a space; None where another field says what it means.

        Of 32 bits the highest is a sign in some formats, and in ext4 for some values of another field.
        """
        return None if self.sizeof() == 4 and value >> 31 == 1 else _moment(value)


class TimePair(Meaning):
    """Two numbers: seconds since 1970, UTC, and nanoseconds."""

    def symbol(self, value: Sequence[int]) -> str | None:
        """Return the time with all nine digits of the fraction."""
        seconds, nanoseconds = value
        return _moment(seconds, f".{nanoseconds:09}") if nanoseconds < 1_000_000_000 else None


class Mode(Meaning):
    """The type and the permissions of a file, as POSIX systems number them."""

    def symbol(self, value: int) -> str | None:
        """Return the ten characters that ls(1) prints; none for zero, which is no file's."""
        return stat.filemode(value) if 0 < value < 1 << 16 else None


class PowerOfTwo(Meaning):
    """A number given by its logarithm: `unit << value`."""

    def __init__(self, subcon: Any, unit: int = 1) -> None:
        super().__init__(subcon)
        self.unit = unit

    def symbol(self, value: int) -> str | None:
        """Return the number itself."""
        return str(self.unit << value) if 0 <= value < 64 else None


class Version(Meaning):
    """A version whose high byte is the major number."""

    def symbol(self, value: int) -> str:
        """Return both numbers with a point between them."""
        return f"{value >> 8}.{value & 0xFF}"


class DosDate(Meaning):
    """Years since 1980 in bits 9-15, the month in 5-8, the day in 0-4; local time."""

    def symbol(self, value: int) -> str | None:
        """Return the date as ISO 8601 has it."""
        return _date(value)


class DosTime(Meaning):
    """Hours in bits 11-15, minutes in 5-10, seconds / 2 in 0-4; local time."""

    def symbol(self, value: int) -> str:
        """Return the time of the day."""
        return _time(value)


class DosTimestamp(Meaning):
    """A DosDate in the upper and a DosTime in the lower half."""

    def symbol(self, value: int) -> str | None:
        """Return date and time."""
        date = _date(value >> 16)
        return f"{date} {_time(value & 0xFFFF)}" if date else None


class DigitsTime(Meaning):
    """A record of digits, as ISO 9660 has it for volumes (ECMA-119 clause 8.4.26.1)."""

    def symbol(self, value: Mapping[str, Any]) -> str | None:
        """Return the time; None for one that is not given or is no number."""
        names = ("year", "month", "day", "hour", "minute", "second", "hundredths_of_a_second")
        parts = [bytes(value[name]).decode("ascii", "replace") for name in names]
        if not all(map(str.isdigit, parts)) or not int("".join(parts)):
            return None
        year, month, day, hour, minute, second, hundredths = parts
        offset = _offset(value["offset_from_gmt"])
        return f"{year}-{month}-{day} {hour}:{minute}:{second}.{hundredths} {offset}"


class RecordingTime(Meaning):
    """A record of numbers, as ISO 9660 has it for files (ECMA-119 clause 9.1.5)."""

    def symbol(self, value: Mapping[str, Any]) -> str | None:
        """Return the time; None for one that is not given."""
        if not value["month"]:
            return None
        date = f"{1900 + value['years_since_1900']}-{value['month']:02}-{value['day']:02}"
        time = f"{value['hour']:02}:{value['minute']:02}:{value['second']:02}"
        return f"{date} {time} {_offset(value['offset_from_gmt'])}"


class Uuid(Bytes):  # type: ignore[misc]  # Construct has no types
    """Sixteen bytes that are a UUID, in the order of RFC 9562."""

    def __init__(self) -> None:
        super().__init__(16)

    def symbol(self, value: bytes) -> str:
        """Return the UUID as it is written."""
        return str(UUID(bytes=bytes(value)))


class Utf16(Bytes):  # type: ignore[misc]  # Construct has no types
    """Text in UTF-16LE that ends at the first zero."""

    def symbol(self, value: bytes) -> str:
        """Return the text; what is no UTF-16 is replaced."""
        return value.decode("utf-16-le", "replace").partition("\0")[0]


def _moment(seconds: int, fraction: str = "") -> str | None:
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:  # no calendar has it
        return None
    return f"{moment.isoformat(' ')}{fraction} UTC"


def _date(value: int) -> str | None:
    return f"{1980 + (value >> 9)}-{value >> 5 & 15:02}-{value & 31:02}" if value else None


def _time(value: int) -> str:
    return f"{value >> 11:02}:{value >> 5 & 63:02}:{2 * (value & 31):02}"


def _offset(quarters: int) -> str:
    hours, minutes = divmod(abs(quarters) * 15, 60)
    return f"{'-' if quarters < 0 else '+'}{hours:02}:{minutes:02}"
