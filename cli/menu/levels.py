"""A menu or submenu as a list with one item selected, apart from how it is drawn."""

from __future__ import annotations

from pybootcfg import choose
from pybootcfg.menu import Entry, Item, Menu, Submenu
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Level:
    """The items of a menu or submenu that are shown, and which of them is selected."""

    def __init__(self, title: str, items: Sequence[Item]) -> None:
        self.title = title
        self.items = [item for item in items if not item.hidden]
        self.selected = 0
        self.top = 0  #: the first item on the screen

    @property
    def item(self) -> Item | None:
        """The selected item; None in an empty menu."""
        return self.items[self.selected] if self.items else None

    def select(self, number: int) -> None:
        """Select an item, or the nearest one there is."""
        self.selected = min(max(number, 0), max(len(self.items) - 1, 0))

    def visible(self, rows: int) -> range:
        """Scroll so that the selected item is in sight; return which items are."""
        rows = max(rows, 1)
        self.top = min(max(self.top, self.selected - rows + 1), self.selected)
        self.top = max(min(self.top, len(self.items) - rows), 0)
        return range(self.top, min(self.top + rows, len(self.items)))


def default_entry(menu: Menu) -> Entry | None:
    """Return the entry that boots when nobody chooses; None when none can."""
    try:
        return choose.choose(menu).entry
    except choose.NothingBootable:
        return None


def below(menu: Menu, submenu: Submenu) -> Level:
    """Return the level of a submenu, what leads to its own default selected."""
    inner = menu._replace(items=submenu.items, defaults=submenu.defaults)
    return way_to(inner, default_entry(inner), submenu.title)[0]


def way_to(menu: Menu, entry: Entry | None, title: str = "") -> list[Level]:
    """Return the levels that lead to an entry, the way to it selected; the top level alone for None."""
    levels = [Level(title, menu.items)]
    for item in _way(menu.items, entry) if entry else ():
        level = levels[-1]
        number = next((place for place, shown in enumerate(level.items) if shown is item), 0)
        level.select(number)
        if isinstance(item, Submenu):
            levels.append(Level(item.title, item.items))
    return levels


def _way(items: Sequence[Item], entry: Entry) -> list[Item]:
    """Return the submenus above an entry, and the entry; nothing when it is not there."""
    for item in items:
        if item is entry:
            return [item]
        if isinstance(item, Submenu):
            below = _way(item.items, entry)
            if below:
                return [item, *below]
    return []


def paths(items: Sequence[Item], above: str = "") -> Iterator[tuple[str, Entry]]:
    """Yield every entry that is shown with its title, those of the submenus above it in front."""
    for item in items:
        if item.hidden:
            continue
        path = f"{above}{item.title}"
        if isinstance(item, Submenu):
            yield from paths(item.items, f"{path} > ")
        else:
            yield path, item
