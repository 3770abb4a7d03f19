"""The shared result of every boot loader dialect: a menu of entries.

Values only.  Paths and arguments are `str` decoded as UTF-8 with surrogateescape, so that they turn
back into the guest's own bytes; a volume is named as `pybootcfg volumes` names it (`p1`, `d2p1`).
"""

from __future__ import annotations

from pybootcfg.values import TYPE_CHECKING, NamedTuple, StrEnum

if TYPE_CHECKING:
    from collections.abc import Iterator


class EntryKind(StrEnum):
    """What an entry boots."""

    LINUX = "linux"
    MULTIBOOT = "multiboot"
    CHAINLOAD = "chainload"
    OTHER = "other"


class FileRef(NamedTuple):
    """A file of the guest: an absolute path on a volume; no volume for a loose configuration."""

    path: str
    volume: str = ""

    def __str__(self) -> str:
        return f"{self.volume}:{self.path}" if self.volume else self.path


class Place(NamedTuple):
    """Where something stands in a configuration; `line` counts from 1."""

    file: FileRef
    line: int


class Module(NamedTuple):
    """A multiboot module: a file and its arguments."""

    file: FileRef
    args: str = ""


class Entry(NamedTuple):
    """One thing that the menu offers to boot.

    `args` is the command line exactly as the kernel would get it, without the kernel's own name.
    A `restricted` entry is for those only who know the password of a superuser or of one of `users`.
    The kernel may be a unified kernel image, of which `profile` is booted.
    """

    title: str
    kind: EntryKind
    source: Place
    id: str = ""
    kernel: FileRef | None = None
    initrds: tuple[FileRef, ...] = ()
    args: str = ""
    modules: tuple[Module, ...] = ()
    devicetree: FileRef | None = None
    hidden: bool = False
    restricted: bool = False
    warnings: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    profile: int = 0


class Submenu(NamedTuple):
    """A menu below an entry of the menu; `default` and `fallbacks` are its own, as in `Menu`."""

    title: str
    source: Place
    id: str = ""
    items: tuple[Item, ...] = ()
    defaults: tuple[str, ...] = ()
    hidden: bool = False
    restricted: bool = False
    users: tuple[str, ...] = ()


Item = Entry | Submenu


class Scheme(StrEnum):
    """How the secret of a password is written."""

    PLAIN = "plain"
    CRYPT = "crypt"  #: crypt(5): `$1$` MD5, `$5$` SHA-256, `$6$` SHA-512
    PBKDF2 = "pbkdf2"  #: GRUB 2: `grub.pbkdf2.sha512.ITERATIONS.SALT.HASH`


class Password(NamedTuple):
    """What a user must type; `user` is empty in the dialects that know no users."""

    user: str
    scheme: Scheme
    secret: str

    def __repr__(self) -> str:
        return f"Password(user={self.user!r}, scheme={self.scheme!r})"


class Menu(NamedTuple):
    """The boot menu as the boot loader would show it.

    `defaults` are the wishes of the configuration in the order in which they count (default, then
    fallbacks), each in the dialect's own words: a number, a title, an id, `1>2`; choose.py resolves
    them.  `timeout` is in seconds, None when the menu waits for ever or says nothing.

    `superusers` is None when anybody may edit entries; else only they may, and boot what is restricted.
    A dialect that has one password and no users gives `("",)`.
    """

    dialect: str
    config: FileRef
    items: tuple[Item, ...] = ()
    defaults: tuple[str, ...] = ()
    timeout: float | None = None
    hidden: bool = False
    warnings: tuple[str, ...] = ()
    superusers: tuple[str, ...] | None = None
    passwords: tuple[Password, ...] = ()

    def flat(self) -> Iterator[tuple[tuple[Submenu, ...], Entry]]:
        """Yield each entry in menu order with the submenus above it."""
        yield from _flatten((), self.items)


def _flatten(
    above: tuple[Submenu, ...], items: tuple[Item, ...]
) -> Iterator[tuple[tuple[Submenu, ...], Entry]]:
    for item in items:
        if isinstance(item, Submenu):
            yield from _flatten((*above, item), item.items)
        else:
            yield above, item
