"""Which entry of a menu boots, and why.

GNU GRUB Manual, `default` and `fallback`: a number counts from 0 in the menu that it is looked up
in, a name is a title or an id, `>` leads into a submenu and `>>` is a `>` in a name.  What cannot be
found is entry 0.  The other dialects give their wishes in the same words.
"""

from __future__ import annotations

from pybootcfg import numerals
from pybootcfg.entry_path import lookup, number
from pybootcfg.errors import BootcfgError, UsageError, printable
from pybootcfg.menu import Entry, EntryKind, Item, Menu, Submenu
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIGITS = 10  #: of the number of an entry
_NAMES_SHOWN = 20


class NothingBootable(BootcfgError):
    """The menu has no entry that could be booted."""


class Choice:
    """The entry that boots, its index in `Menu.flat()`, and the reasons, step by step."""

    def __init__(self, entry: Entry, index: int, reasons: tuple[str, ...]) -> None:
        self.entry = entry
        self.index = index
        self.reasons = reasons


def choose(menu: Menu, wanted: str | None = None) -> Choice:
    """Return the entry that boots.

    `wanted` is what the caller asks for: the number of an entry as listed (submenus expanded), a title,
    an id, or a path such as `submenu>entry`.  Raises UsageError when there is no such entry, and
    NothingBootable when the menu has none that can be booted.
    """
    entries = [entry for _, entry in menu.flat()]
    if wanted is not None:
        index = _wanted(menu, wanted)
        return Choice(entries[index], index, (f"entry {index} was asked for as {printable(wanted)}",))
    reasons: list[str] = []
    entry = _follow(menu.items, menu.defaults, reasons)
    for fallback in menu.defaults[1:]:
        if entry is not None and _boots(entry):
            break
        if lookup(menu.items, fallback) is not None:
            reasons.append(f"that cannot be booted, so the fallback {printable(fallback)} is tried")
            entry = _follow(menu.items, (fallback,), reasons)
    if entry is None or not _boots(entry):
        if entry is not None:
            reasons.append(f"{printable(entry.title)} has no kernel that could be booted")
        entry = next(filter(_boots, entries), None)
        if entry is None:
            raise NothingBootable(
                f"none of the {len(entries)} entries of {menu.config} names a kernel"
                if entries
                else f"{menu.config} makes an empty menu"
            )
        reasons.append(f"the first that can be booted is {printable(entry.title)}")
    return Choice(entry, _index(menu, entry), tuple(reasons))


def default_index(menu: Menu) -> int | None:
    """Return the index in `Menu.flat()` of the entry that the boot loader itself would choose.

    None when there is no entry at that place: an empty menu, or an empty submenu.
    """
    entry = _follow(menu.items, menu.defaults, [])
    return None if entry is None else _index(menu, entry)


def _boots(entry: Entry) -> bool:
    return entry.kernel is not None and entry.kind is not EntryKind.CHAINLOAD


def _index(menu: Menu, chosen: Entry) -> int:
    return next(index for index, (_, entry) in enumerate(menu.flat()) if entry is chosen)


def _follow(items: Sequence[Item], defaults: Sequence[str], reasons: list[str]) -> Entry | None:
    """Go from a menu's default, the first of `defaults`, down to an entry."""
    while items:
        wish = defaults[0] if defaults else None
        found = lookup(items, wish) if wish is not None else None
        if found is None:
            item, rest = items[0], ""
            why = "no default is set" if wish is None else f"the default {printable(wish)} is not in the menu"
            reasons.append(f"{why}, so the first entry is taken: {printable(item.title)}")
        else:
            item, rest = found
            reasons.append(f"the default {printable(wish or '')} is {printable(item.title)}")
        if isinstance(item, Entry):
            return item
        items, defaults = item.items, (rest,) if rest and not item.defaults else item.defaults
    return None


def _wanted(menu: Menu, wanted: str) -> int:
    """Return the index of the entry that the caller asks for; raises UsageError."""
    flat = list(menu.flat())
    bare = wanted.strip(numerals.BLANKS)
    if bare.isdecimal() and bare.isascii() and len(bare) < _DIGITS and int(bare) < len(flat):
        return int(bare)
    for index, (_, entry) in enumerate(flat):
        if wanted and wanted in (entry.title, entry.id):
            return index
    # A number alone has been looked for in the flat list; in a path it counts as the boot loader counts.
    found = lookup(menu.items, wanted) if ">" in wanted or number(wanted) is None else None
    while found is not None:
        item, rest = found
        if isinstance(item, Submenu) and rest:
            found = lookup(item.items, rest)
            continue
        below = _follow(item.items, item.defaults, []) if isinstance(item, Submenu) else item
        if below is None or rest:
            break
        return _index(menu, below)
    names = [
        f"{index}: {printable('>'.join([*(submenu.title for submenu in above), entry.title]))}"
        for index, (above, entry) in enumerate(flat[:_NAMES_SHOWN])
    ]
    more = f" and {len(flat) - _NAMES_SHOWN} more" if len(flat) > _NAMES_SHOWN else ""
    raise UsageError(
        f"the menu has no entry {printable(wanted)}", hint=f"it has {'; '.join(names) or 'none'}{more}"
    )
