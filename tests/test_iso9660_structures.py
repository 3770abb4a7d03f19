"""Structures of Rock Ridge that only inspect shows: time stamps, the texts of extensions."""

from __future__ import annotations

import json
import lzma
from calendar import timegm
from pathlib import Path

import iso9660_image
import pytest
from inspected import CORPUS, structures, unpacked
from iso9660_image import Disc, entry

from pybootcfg.places import PlacedStructure
from pybootcfg.tracing import Field


def value(field: Field) -> tuple[int, ...]:
    return tuple(child.value for child in field.children)


def seconds(stamp: Field) -> int:
    year, month, day, hour, minute, second, quarters = value(stamp)
    return timegm((1900 + year, month, day, hour, minute, second)) - 900 * quarters


def named(*images: Path) -> dict[str, PlacedStructure]:
    return {placed.name.removeprefix("p0."): placed for placed in structures(*images)}


@pytest.mark.parametrize("name", ["xorriso-rr", "genisoimage-rr", "makefs-rr"])
def test_times_of_files_are_those_that_were_written(name: str, tmp_path: Path) -> None:
    listed = json.loads(lzma.decompress((CORPUS / f"iso/{name}.json.xz").read_bytes()))["files"]
    written = {file["mtime"] for file in listed.values() if "mtime" in file}
    found = named(*unpacked(f"iso/{name}.iso", tmp_path))
    stamps = {seconds(placed.trace()) for key, placed in found.items() if key.endswith(".modify")}
    assert written
    assert written <= stamps


def test_stamps_of_both_forms_stand_in_the_order_of_their_bits(tmp_path: Path) -> None:
    disc = Disc()
    short = bytes((123, 4, 5, 6, 7, 8, 4)) + bytes((124, 1, 2, 3, 4, 5, 0))
    long = b"2023040506070809\x04"
    disc.add(b"short", use=entry(b"TF", b"\x42" + short))
    disc.add(b"long", use=entry(b"TF", b"\x84" + long))
    disc.add(b"cut", use=entry(b"TF", b"\x0f" + short[:10]))
    (tmp_path / "iso").write_bytes(disc.image())
    found = named(tmp_path / "iso")
    stamps: dict[str, list[str]] = {}
    for key in found:
        record, _, rest = key.partition(".system_use[")
        if "." in rest:
            stamps.setdefault(record, []).append(rest.partition(".")[2])
    assert sorted(stamps.values()) == [["access"], ["creation"], ["modify", "effective"]]
    modify = next(placed for key, placed in found.items() if key.endswith(".effective"))
    assert value(modify.trace()) == (124, 1, 2, 3, 4, 5, 0)
    access = next(placed for key, placed in found.items() if key.endswith(".access"))
    assert access.trace().symbol == "2023-04-05 06:07:08.09 +01:00"


def test_texts_of_an_extension(tmp_path: Path) -> None:
    found = named(*unpacked("iso/xorriso-rr.iso", tmp_path))
    shown = [placed.trace() for placed in found.values() if placed.decoder.name == "er"]
    assert shown
    parts = {child.name: child.value for child in shown[0].children}
    assert parts["extension_id"] in (b"RRIP_1991A", b"IEEE_P1282", b"IEEE_1282")
    assert b"PROTOCOL" in parts["extension_descriptor"].upper()
    assert len(parts["extension_source"]) == parts["len_src"]


def test_lengths_of_texts_beyond_the_entry_are_held_to_it(tmp_path: Path) -> None:
    disc = Disc()
    disc.add(b"file", use=entry(b"ER", bytes((255, 255, 255, 1)) + b"short"))
    (tmp_path / "iso").write_bytes(disc.image())
    shown = [one.trace() for one in named(tmp_path / "iso").values() if one.decoder.name == "er"]
    assert any(child.value == b"short" for child in shown[-1].children)
    assert iso9660_image.SECTOR == 2048
