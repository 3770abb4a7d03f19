"""The interactive menu of pygrub: docs/menu.md.

    terminal = prepare()                               before the process locks itself down
    boot = interact(guest, menu, request, terminal)    after it: only the guest and the terminal are touched

Importing this package imports all that a menu may need later, when no file can be opened any more.

keys.py turns bytes into keys, terminal.py draws, frame.py is a picture in characters; levels.py and
text.py are what is selected and edited; views.py, editors.py what fills the screen; session.py ties
them together.  Everything but terminal.py works without a terminal.
"""

from __future__ import annotations

from pybootcfg.boot import Boot, Request
from pybootcfg.cli import passwords
from pybootcfg.cli.menu.session import Cancelled, Session
from pybootcfg.cli.menu.terminal import Terminal, TerminalLost, UnusableTerminal, prepare
from pybootcfg.dialects.grub2 import commands
from pybootcfg.guest import Guest
from pybootcfg.menu import Menu

__all__ = ["Cancelled", "Terminal", "TerminalLost", "UnusableTerminal", "interact", "prepare"]

passwords.prepare()
for _name in commands.names():
    commands.find(_name)


def interact(guest: Guest, menu: Menu, request: Request, terminal: Terminal | None = None) -> Boot:
    """Show the menu; return what is to be booted.

    Raises Cancelled for Ctrl-C, TerminalLost when the terminal goes, UnusableTerminal when it is none,
    and what stands in the way of booting when an entry boots by itself.
    """
    session = Session(guest, menu, request)
    if session.seconds_left == 0:
        return session.boot_default()
    with terminal or prepare() as shown:
        return session.run(shown)
