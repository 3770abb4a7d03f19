"""What `inspect` says of values in words, and the units of numbers."""

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from construct import Array, Bytes, Int8sb, Int8ub, Int16ul, Int32ul, Int64sl, Int64ul, Struct
from inspect_tools import needs

from pybootcfg.formats import _fields as fields
from pybootcfg.schema import Decoder
from pybootcfg.source import MemorySource
from pybootcfg.tracing import Field

_TIME = fields.UnixTime(Int64sl)


def _traced(schema: Any, data: bytes) -> Field:
    return Decoder("structure", schema).trace(MemorySource(data, "data"), 0)


@pytest.mark.parametrize("seconds", [0, 1, -1, 951782400, 1 << 31, 1 << 32, 253402300799, -62135596800])
def test_seconds_since_1970_are_what_date_says(seconds: int) -> None:
    command = ["date", "--utc", f"--date=@{seconds}", "+%Y-%m-%d %H:%M:%S UTC"]
    expected = subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True)
    assert _TIME.symbol(seconds) == expected.stdout.strip()


def test_a_time_that_no_calendar_has_is_a_number_only() -> None:
    assert _TIME.symbol(1 << 62) is None
    assert fields.TimePair(Array(2, Int64ul)).symbol([1 << 63, 0]) is None


def test_of_32_bits_the_sign_is_not_guessed() -> None:
    short = fields.UnixTime(Int32ul)
    assert short.symbol((1 << 31) - 1) == "2038-01-19 03:14:07 UTC"
    assert short.symbol(1 << 31) is None


def test_nanoseconds_are_a_fraction() -> None:
    pair = fields.TimePair(Array(2, Int64ul))
    assert pair.symbol([0, 5]) == "1970-01-01 00:00:00.000000005 UTC"
    assert pair.symbol([0, 1_000_000_000]) is None


@pytest.mark.parametrize("permissions", [0o644, 0o755, 0o7777, 0o4711, 0o1777, 0])
def test_modes_are_what_ls_prints(tmp_path: Path, permissions: int) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(permissions)
    listed = subprocess.run(["ls", "-l", file], capture_output=True, text=True, check=True).stdout
    assert fields.Mode(Int16ul).symbol(file.stat().st_mode) == listed[:10]


def test_a_mode_beyond_sixteen_bits_is_no_mode() -> None:
    assert fields.Mode(Int64ul).symbol(1 << 40) is None
    assert fields.Mode(Int16ul).symbol(0) is None


def test_dates_and_times_of_dos() -> None:
    # FAT specification, "Date and Time Formats": 2000-02-29 14:30:58
    date, time = 20 << 9 | 2 << 5 | 29, 14 << 11 | 30 << 5 | 29
    assert fields.DosDate(Int16ul).symbol(date) == "2000-02-29"
    assert fields.DosTime(Int16ul).symbol(time) == "14:30:58"
    assert fields.DosTimestamp(Int32ul).symbol(date << 16 | time) == "2000-02-29 14:30:58"
    assert fields.DosDate(Int16ul).symbol(0) is None
    assert fields.DosTimestamp(Int32ul).symbol(time) is None


_NUMBERS = fields.RecordingTime(
    Struct(
        *[name / Int8ub for name in ("years_since_1900", "month", "day", "hour", "minute", "second")],
        "offset_from_gmt" / Int8sb,
    )
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes([126, 11, 23, 12, 43, 9, 22]), "2026-11-23 12:43:09 +05:30"),
        (bytes([99, 1, 2, 3, 4, 5, 256 - 14]), "1999-01-02 03:04:05 -03:30"),
        (bytes(7), None),
    ],
)
def test_times_of_iso_9660_records(data: bytes, expected: str | None) -> None:
    assert _traced(_NUMBERS, data).symbol == expected


_DIGITS = fields.DigitsTime(
    Struct(
        "year" / Bytes(4),
        *[name / Bytes(2) for name in ("month", "day", "hour", "minute", "second", "hundredths_of_a_second")],
        "offset_from_gmt" / Int8sb,
    )
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"2026112312430907\xfc", "2026-11-23 12:43:09.07 -01:00"),
        (b"0000000000000000\0", None),
        (b"20261123 2430907\0", None),
        ("\uff12".encode() + b"0261123243090\0", None),  # a digit, but not of ISO 646
        (bytes(17), None),
    ],
)
def test_times_of_iso_9660_volumes(data: bytes, expected: str | None) -> None:
    assert _traced(_DIGITS, data).symbol == expected


def test_a_power_of_two_shows_the_number_it_stands_for() -> None:
    shift = fields.PowerOfTwo(Int32ul, 1024)
    assert shift.symbol(2) == "4096"
    assert shift.symbol(64) is None


def test_versions_and_uuids() -> None:
    assert fields.Version(Int16ul).symbol(0x020F) == "2.15"
    text = "22222222-0000-4000-8000-000000000004"
    assert fields.Uuid().symbol(bytes.fromhex(text.replace("-", ""))) == text


@pytest.mark.parametrize(
    ("wrapped", "bare"),
    [
        (fields.UnixTime(Int32ul), Int32ul),
        (fields.TimePair(Array(2, Int64ul)), Array(2, Int64ul)),
        (fields.PowerOfTwo(Int8ub, 512), Int8ub),
        (_NUMBERS, _NUMBERS.subcon),
    ],
)
def test_words_change_no_value(wrapped: Any, bare: Any) -> None:
    data = bytes(range(1, 40))
    assert Decoder("x", wrapped).decode(data) == Decoder("x", bare).decode(data)
    assert Decoder("x", wrapped).size == Decoder("x", bare).size


def test_a_unit_belongs_to_a_field_and_to_all_inside_it() -> None:
    schema = Struct(
        "age" / Int8ub * "seconds",
        "places" / Array(2, Int8ub) * "blocks",
        "both" / Struct("little" / Int16ul, "big" / Int16ul) * "bytes",
        "plain" / Int8ub,
    )
    units = {path: leaf.unit for path, leaf in _traced(schema, bytes(8)).leaves()}
    assert units == {
        "age": "seconds",
        "places[0]": "blocks",
        "places[1]": "blocks",
        "both.little": "bytes",
        "both.big": "bytes",
        "plain": "",
    }


def test_fields_of_a_superblock_in_text_and_json(
    tmp_path: Path, inside: Callable[..., tuple[int, str]]
) -> None:
    image = tmp_path / "disk"
    options = ["-q", "-t", "ext4", "-b", "4096", "-U", "22222222-0000-4000-8000-000000000004"]
    subprocess.run([needs("mke2fs"), *options, image, "4M"], check=True)
    command = [needs("dumpe2fs"), "-h", image]
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    known = {name: value.strip() for name, _, value in (line.partition(":") for line in dumped.splitlines())}
    document = json.loads(inside(str(image), "p0.superblock", "--json")[1])
    found = {child["name"]: child for child in document["structures"][0]["children"]}
    assert found["s_log_block_size"]["symbol"] == known["Block size"]
    assert found["s_log_block_size"]["unit"] == "bytes"
    assert found["s_blocks_count_lo"]["unit"] == "blocks"
    assert found["s_uuid"]["symbol"] == known["Filesystem UUID"]
    created = datetime.strptime(known["Filesystem created"], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    assert found["s_mkfs_time"]["symbol"] == f"{created:%Y-%m-%d %H:%M:%S} UTC"
    assert "unit" not in found["s_magic"]
    _, text = inside(str(image), "p0.superblock")
    assert f"s_blocks_count_lo: {known['Block count']} blocks\n" in text
    assert "s_log_block_size: 4096 (0x2) bytes\n" in text
