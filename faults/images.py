"""The images: those of tests/corpus, and any other folder of them, unpacked once."""

from __future__ import annotations

import lzma
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

OWN = Path(__file__).parent.parent / "tests/corpus"
SUFFIXES = (".img", ".iso")
_MEMBER = re.compile(r"(?P<name>.*)\.d(?P<number>\d+)")
_HOLE = 1 << 16  # bytes of zeros that are left out of the unpacked file


class Image(NamedTuple):
    """One guest: its name, and the packed or plain files of its disks in order."""

    name: str
    files: tuple[Path, ...]


def find(places: Iterable[Path]) -> list[Image]:
    """Return the images at the places: files, or folders searched through, `NAME.d0`, `NAME.d1` as one."""
    members: dict[tuple[Path, str], dict[int, Path]] = {}
    for place in places:
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for file in files:
            bare = file.name.removesuffix(".xz")
            stem, dot, suffix = bare.rpartition(".")
            if place.is_dir() and dot + suffix not in SUFFIXES:
                continue
            match = _MEMBER.fullmatch(stem)
            name, number = (match["name"], int(match["number"])) if match else (stem or bare, 0)
            folder = f"{file.parent.name}/" if place.is_dir() and file.parent != place else ""
            members.setdefault((file.parent, folder + name), {})[number] = file
    return [
        Image(name, tuple(disks[number] for number in sorted(disks))) for (_, name), disks in members.items()
    ]


def unpack(image: Image, folder: Path) -> list[Path]:
    """Return the plain files of an image's disks, written to `folder` with holes where they are packed."""
    plain = []
    for file in image.files:
        target = file
        if file.suffix == ".xz":
            target = folder / str(file.parent).replace("/", "-") / file.stem
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                unpack_file(file, target)
        plain.append(target)
    return plain


def unpack_file(packed: Path, target: Path) -> None:
    """Write a packed file out with holes, under its name when it is complete."""
    part = target.with_name(f"{target.name}.{os.getpid()}")
    with lzma.open(packed) as source, part.open("wb") as out:
        while chunk := source.read(_HOLE):
            if chunk.count(0) == len(chunk):
                out.seek(len(chunk), 1)
            else:
                out.write(chunk)
        out.truncate(out.tell())
    part.rename(target)
