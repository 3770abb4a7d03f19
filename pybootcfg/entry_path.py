"""What names an entry of a menu, and leads through its submenus.

GNU GRUB Manual, `default`: a number counts from 0 in the menu that it is looked up in, a name is a title
or an id, `>` leads into a submenu and `>>` is a `>` in a name.  The other dialects are given the same words.
"""

from __future__ import annotations

from pybootcfg import numerals
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pybootcfg.menu import Item

_NOWHERE = 2**64  #: an index that no menu has


def lookup(items: Sequence[Item], wish: str) -> tuple[Item, str] | None:
    """Return the item of a menu that a wish means, and what is left of the wish for a menu below it.

    None when the menu has no such item.
    """
    head, rest = split(wish)
    index = number(wish)
    if index is not None:
        return (items[index], rest) if index < len(items) else None
    for item in items:
        if head in (item.title, item.id or item.title):
            return item, rest
    return None


def split(path: str) -> tuple[str, str]:
    """Split at the first single `>`; the name before it has its `>>` undone."""
    position = 0
    while (position := path.find(">", position)) >= 0:
        if not path.startswith(">>", position):
            return path[:position].replace(">>", ">"), path[position + 1 :]
        position += 2
    return path.replace(">>", ">"), ""


def number(wish: str) -> int | None:
    """Read a number as GRUB does, for which what follows the digits counts for nothing."""
    try:
        return numerals.read(wish).value
    except numerals.NoDigits:
        return None
    except numerals.TooLarge:
        return _NOWHERE
