"""`pybootcfg inspect A --diff B [PLACE]`: the same structures of two images, field by field.

With a place for B, `inspect IMAGE PLACE --diff PLACE`, two structures of one image are compared.
"""

from __future__ import annotations

import copy
import itertools
import os
import sys

from pybootcfg.cli import inspection
from pybootcfg.cli.commands import open_guest
from pybootcfg.cli.display import Page
from pybootcfg.cli.inspection import document, fields
from pybootcfg.errors import printable
from pybootcfg.guest import Guest
from pybootcfg.results import dump_json
from pybootcfg.tracing import Field
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


class Difference(NamedTuple):
    """A field that differs; None on the side where there is none of that name."""

    name: str
    before: Field | None
    after: Field | None


def show(options: argparse.Namespace, guest: Guest) -> int:
    """Print every field whose value is not the same in both."""
    if options.place and not os.path.lexists(options.diff):
        found = compare(_shown(options, guest), _renamed(guest, options.diff, options.place))
    else:
        other_options = copy.copy(options)
        other_options.image, other_options.device = options.diff, []
        found = compare(_shown(options, guest), _shown(options, open_guest(other_options)))
    if options.json or options.jsonl:
        rows = [
            {
                "name": one.name,
                "before": document.node(one.before) if one.before else None,
                "after": document.node(one.after) if one.after else None,
            }
            for one in found
        ]
        sys.stdout.write(dump_json({"schema": document.SCHEMA, "differences": rows}).decode())
        return 0
    page = Page(options)
    count = 0
    for one in found:
        count += 1
        page.line((printable(one.name), "name"))
        for mark, style, field in (("-", "bad", one.before), ("+", "value", one.after)):
            if field is not None:
                place = f"{field.offset:#010x}" if field.size else " " * 10
                page.line((f"  {mark} ", style), (f"{place}  ", "offset"), *fields.describe(field))
    if not count:
        page.line("no difference")
    page.close()
    return 0


def _shown(options: argparse.Namespace, guest: Guest) -> Iterator[Field]:
    if options.place:
        return inspection.chosen(guest, options.place)
    return inspection.main_structures(guest)


def _renamed(guest: Guest, place: str, name: str) -> Iterator[Field]:
    """Yield what is at a place under the name of the one that it is compared with."""
    for field in inspection.chosen(guest, place):
        field.name = name + field.name.removeprefix(place)
        yield field


def compare(before: Iterator[Field], after: Iterator[Field]) -> Iterator[Difference]:
    """Yield the leaves that differ, in the order of the first image, those only in the second at the end.

    Structures are compared as they come; only those that have no counterpart at once are kept.
    """
    waiting: dict[str, Field] = {}
    left: dict[str, Field] = {}
    for one, two in itertools.zip_longest(before, after):
        if two is not None:
            waiting[two.name] = two
        if one is not None:
            left[one.name] = one
        for name in [name for name in left if name in waiting]:
            yield from _between(left.pop(name), waiting.pop(name))
    for field in left.values():
        yield Difference(field.name, field, None)
    for field in waiting.values():
        yield Difference(field.name, None, field)


def _between(before: Field, after: Field) -> Iterator[Difference]:
    ours, theirs = dict(before.leaves(before.name)), dict(after.leaves(after.name))
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        one, two = ours.get(name), theirs.get(name)
        if one is None or two is None or (one.value, one.raw, one.error) != (two.value, two.raw, two.error):
            yield Difference(name, one, two)
