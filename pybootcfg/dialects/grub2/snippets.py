"""What `blscfg` has read: entry files of the Boot Loader Specification, kept from one call to the next."""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.menu import Place
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pybootcfg import versions


class Snippet(NamedTuple):
    """One entry file: its name without the ending, its fields in their order, whether it is shown yet."""

    key: versions.Key  #: by which entries are sorted
    id: str
    fields: tuple[tuple[str, str], ...]
    place: Place
    shown: bool = False

    def all(self, key: str) -> list[str]:
        """Return the values of a key."""
        return [value for name, value in self.fields if name == key]

    def first(self, key: str) -> str | None:
        """Return the first value of a key."""
        return next(iter(self.all(key)), None)


class Snippets:
    """The entry files read so far, the newest last."""

    def __init__(self) -> None:
        self.entries: tuple[Snippet, ...] = ()
        self.text = limits.BLS_TEXT.budget()
