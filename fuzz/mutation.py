"""Structure-aware mutation: an input of the fuzzer is a list of edits of a seed's own fields.

An input is two bytes (which seed; what to do) and records of eight bytes, so that the fuzzer's own
mutations and crossings stay meaningful: what kind of edit (1), which field or byte (3), which value (4).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from edits import Edit

HEAD = 2
RECORD = 8
RECORDS = 16
LONGEST = HEAD + RECORD * RECORDS

CHECKSUMS_HELD = 1  #: a bit of the second byte; those above choose what is done


class FieldPlace(NamedTuple):
    """A field of a structure of the seed: where, how long, in which byte order, and what it holds."""

    address: int
    size: int
    order: str
    value: bytes


class Span(NamedTuple):
    """Bytes of metadata that were read."""

    address: int
    length: int


class Known(Protocol):
    """What is known of a seed."""

    fields: Sequence[FieldPlace]
    spans: Sequence[Span]
    size: int  #: bytes of the first disk

    def original(self, address: int, length: int) -> bytes:
        """Return the seed's own bytes."""


class Mutated(NamedTuple):
    """The edits that an input stands for; `size` is where the first disk is cut off, None for nowhere."""

    edits: tuple[Edit, ...]
    size: int | None = None


def interesting(size: int, image: int) -> list[int]:
    """Return values that counts, lengths, shifts and pointers are often wrong with."""
    top = 1 << 8 * size
    values = [*range(5), 7, 8, 12, 15, 16, 31, 32, 63, 64, 65, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF]
    values += [top - 1, top - 2, top // 2, top // 2 - 1, top // 2 + 1, top // 4, top - 8, top - 4096]
    values += [image >> shift for shift in (0, 9, 10, 11, 12, 15)]
    values += [(image >> shift) - 1 for shift in (0, 9, 10, 11, 12)]
    values += [1 << bit for bit in range(8 * min(size, 8))]
    return [value for value in dict.fromkeys(values) if 0 <= value < top]


def decode(data: bytes, known: Known) -> Mutated:
    """Return the edits of an input; every input stands for some."""
    edits: list[Edit] = []
    cut = None
    for at in range(HEAD, min(len(data), LONGEST) - RECORD + 1, RECORD):
        kind = data[at] % 9
        selector = int.from_bytes(data[at + 1 : at + 4], "little")
        value = data[at + 4 : at + 8]
        if kind == 8:
            cut = selector * 512 % (known.size + 1) if value[0] & 15 == 0 else cut
        elif kind >= 5 and known.spans:
            edits.append(_raw(kind, selector, value, known))
        elif known.fields:
            edits.append(_field(kind, known.fields[selector % len(known.fields)], value, known))
    return Mutated(tuple(edits), cut)


def _field(kind: int, field: FieldPlace, value: bytes, known: Known) -> Edit:
    size, order = field.size, "big" if field.order == "big" else "little"
    number = int.from_bytes(value, "little")
    top = 1 << 8 * size
    old = int.from_bytes(field.value, order)  # type: ignore[arg-type]
    if kind == 0:
        values = interesting(size, known.size)
        new = values[number % len(values)]
    elif kind == 1:
        new = number % top
    elif kind == 2:  # what another field holds: pointers that meet, cycles
        other = known.fields[number % len(known.fields)]
        new = int.from_bytes(other.value, "big" if other.order == "big" else "little") % top
    elif kind == 3:
        new = (old + value[0] - 128) % top
    else:
        new = old ^ 1 << number % (8 * size)
    return Edit(field.address, new.to_bytes(size, order))  # type: ignore[arg-type]


def _raw(kind: int, selector: int, value: bytes, known: Known) -> Edit:
    span = known.spans[selector % len(known.spans)]
    at = (selector // len(known.spans) * 7919 + (value[3] << 8 | value[2])) % span.length
    if kind == 5:
        return Edit(span.address + at, value[:1])
    at = at // 8 * 8
    if kind == 6:  # a word of another place
        other = known.spans[value[0] % len(known.spans)]
        return Edit(span.address + at, known.original(other.address + value[1] * 8 % other.length, 8))
    values = interesting(4, known.size)
    number = values[value[0] % len(values)]
    width = (1, 2, 4, 8)[value[1] >> 1 & 3]
    return Edit(
        span.address + at + (value[1] >> 3) % 8,
        (number % (1 << 8 * width)).to_bytes(width, "big" if value[1] & 1 else "little"),
    )


def mutate(data: bytes, maximum: int, seed: int) -> bytes:
    """Return an input that differs in whole records."""
    chance = random.Random(seed)  # noqa: S311  libFuzzer's own seed makes a run repeatable
    head = bytearray(data[:HEAD].ljust(HEAD, b"\0"))
    body = data[HEAD:]
    records = [body[at : at + RECORD] for at in range(0, len(body) - RECORD + 1, RECORD)]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        what = chance.randrange(10)
        if what < 4 or not records:
            records.insert(chance.randint(0, len(records)), chance.randbytes(RECORD))
        elif what == 4 and len(records) > 1:
            del records[chance.randrange(len(records))]
        elif what < 7:  # the same place, another value
            index = chance.randrange(len(records))
            records[index] = records[index][:4] + chance.randbytes(4)
        elif what < 9:  # a place nearby
            index = chance.randrange(len(records))
            place = int.from_bytes(records[index][1:4], "little") + chance.choice((-2, -1, 1, 2))
            moved = (place % (1 << 24)).to_bytes(3, "little")
            records[index] = records[index][:1] + moved + records[index][4:]
        else:
            head[chance.randrange(HEAD)] = chance.randrange(256)
    return (bytes(head) + b"".join(records[:RECORDS]))[:maximum]
