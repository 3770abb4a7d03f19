"""What a configuration is read into: menus that hold labels and further menus."""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.errors import printable
from pybootcfg.menu import Place
from pybootcfg.values import NamedTuple


class Warnings:
    """Warnings in the order in which they arise, up to a number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        """Keep a warning, once."""
        if len(self.texts) < limits.SYSLINUX_WARNINGS.value and text not in self.texts:
            self.texts.append(text)

    def at(self, place: Place, text: str) -> None:
        """Keep a warning about a place in a configuration."""
        self.add(f"{printable(str(place.file))}:{place.line}: {text}")


class Command(NamedTuple):
    """What is run: the type that a kernel-like directive gives it, and the words after that directive.

    Besides those of syslinux.cfg(5) there is the type `menu`, which only moves within the menus.
    """

    type: str
    words: tuple[str, ...]


class Label:
    """A LABEL clause.  `name` is the whole line, of which SYSLINUX itself takes the first word."""

    def __init__(self, name: str, place: Place, menu: MenuPart, command: Command) -> None:
        self.name = name
        self.place = place
        self.menu = menu
        self.command = command
        self.number = 0  #: among the parts of its menu
        self.append: tuple[str, ...] | None = None
        self.initrd = ""
        self.devicetree = ""
        self.sysappend = 0
        self.title = ""
        self.hidden = False
        self.disabled = False
        self.password: str | None = None
        self.is_default = False
        self.warnings = Warnings()

    @property
    def first_word(self) -> str:
        """The name as SYSLINUX takes it."""
        return self.name.split(maxsplit=1)[0] if self.name else ""

    @property
    def selectable(self) -> bool:
        """Whether a person can choose it in the menu."""
        return not self.hidden and not self.disabled


class MenuPart:
    """The menu itself, or what stands between MENU BEGIN and MENU END."""

    def __init__(self, place: Place, tag: str = "", menu: MenuPart | None = None) -> None:
        self.place = place
        self.tag = tag
        self.menu = menu
        self.number = 0  #: among the parts of the menu above
        self.title = ""
        self.label = ""
        self.password: str | None = None
        self.parts: list[Label | MenuPart] = []
        self.default: Label | MenuPart | None = None

    def add(self, part: Label | MenuPart) -> None:
        """Put a part at the end of the menu."""
        part.number = len(self.parts)
        self.parts.append(part)

    @property
    def depth(self) -> int:
        """How many menus it is inside of."""
        depth, above = 0, self.menu
        while above is not None:
            depth, above = depth + 1, above.menu
        return depth

    def first(self) -> Label | MenuPart | None:
        """Return the part that is marked when the configuration marks none."""
        for part in self.parts:
            if part.first() is not None if isinstance(part, MenuPart) else part.selectable:
                return part
        return None


def path(part: Label | MenuPart) -> str:
    """Return the numbers that lead from the top to a part, in the words of choose.py."""
    numbers = [str(part.number)]
    above = part.menu
    while above is not None and above.menu is not None:
        numbers.append(str(above.number))
        above = above.menu
    return ">".join(reversed(numbers))


def mark(part: Label | MenuPart) -> None:
    """Make a part the default of its menu, and this the default of the menu above it, up to the top."""
    above = part.menu
    while above is not None:
        above.default = part
        part, above = above, above.menu
