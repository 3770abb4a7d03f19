"""systemd-boot's own configuration: loader.conf(5)."""

from __future__ import annotations

from pybootcfg import grammar, limits
from pybootcfg.dialects.base import Machine
from pybootcfg.dialects.bls.places import LOADER_CONF, Root
from pybootcfg.errors import BootcfgError
from pybootcfg.grammar import Text, Token
from pybootcfg.kind import Kind
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 2**32 - 1  # seconds
_BOOLEANS = {
    **dict.fromkeys(("1", "yes", "y", "true", "t", "on"), True),
    **dict.fromkeys(("0", "no", "n", "false", "f", "off"), False),
}


class LoaderConf:
    """What loader.conf says.  Without `timeout` the menu is `hidden`, or waits for ever."""

    def __init__(self) -> None:
        self.default = ""  #: a pattern for ids
        self.saved = False
        self.timeout: float | None = None
        self.hidden = True
        self.editor = True  #: whether anybody may edit entries


def fields(text: Text) -> list[tuple[Token, str]]:
    """Return keys and values of loader.conf or of an entry file, line by line."""
    found = []
    for field in grammar.load("bls").parse(text).trees():
        key, *value = field.tokens()
        found.append((key, value[0].text if value else ""))
    return found


def read(machine: Machine, roots: Sequence[Root], warnings: list[str]) -> LoaderConf:
    """Read the first loader.conf that there is; the later one of two equal keys counts."""
    conf = LoaderConf()
    for root in roots:
        file = root.file(LOADER_CONF)
        if root.only or machine.kind(file) is not Kind.FILE:
            continue
        try:
            data = machine.read(file, limits.BLS_FILE_SIZE)
        except BootcfgError as error:
            warnings.append(str(error))
            continue
        for key, value in fields(Text(data.decode("utf-8", "surrogateescape"), str(file))):
            if key.text == "default" and (not value.startswith("@") or value.casefold() == "@saved"):
                conf.saved = value.startswith("@")
                conf.default = "" if conf.saved else value
            elif key.text == "timeout":
                _timeout(conf, value)
            elif key.text == "editor" and value in _BOOLEANS:
                conf.editor = _BOOLEANS[value]
        break
    return conf


def _timeout(conf: LoaderConf, value: str) -> None:
    if value == "menu-force":
        conf.timeout, conf.hidden = None, False
    elif value in ("menu-hidden", "menu-disabled"):
        conf.timeout, conf.hidden = 0.0, True
    elif value.isascii() and value.isdigit() and len(value) < 20 and int(value) <= _LONGEST:
        conf.timeout, conf.hidden = float(value), int(value) == 0
