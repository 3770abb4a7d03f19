"""What `default` and `fallback` mean to the GRUB of Fedora and Red Hat: ids and titles come before numbers.

GNU GRUB takes whatever begins with digits for a number.  The ids of Boot Loader Specification entries
mostly do, since they begin with a machine id; hence the patch.
"""

from __future__ import annotations

from pybootcfg import numerals
from pybootcfg.menu import Item
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def numbered(items: Sequence[Item], wish: str) -> str:
    """Return a wish that begins with digits as the number in the menu that it means: a name's, or its own.

    What is neither a name nor a number is the first entry; other wishes are returned as they are.
    """
    try:
        rest = numerals.read(wish).rest
    except (numerals.NoDigits, numerals.TooLarge):
        return wish
    for names in ([item.id or item.title for item in items], [item.title for item in items]):
        for index, name in enumerate(names):
            escaped = name.replace(">", ">>")
            if wish == escaped:
                return str(index)
            if name and wish.startswith(f"{escaped}>") and not wish.startswith(f"{escaped}>>"):
                return f"{index}{wish.removeprefix(escaped)}"
    return wish if not rest.strip(numerals.BLANKS) or rest.startswith(">") else "0"
