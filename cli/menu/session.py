"""One showing of the menu: the views on top of each other, the countdown, and what is booted in the end."""

from __future__ import annotations

import math
import time

from pybootcfg.boot import Boot, Request, boot_entry, boot_menu
from pybootcfg.cli.menu.access import Access
from pybootcfg.cli.menu.frame import Frame, Size
from pybootcfg.cli.menu.keys import Key, Typed
from pybootcfg.cli.menu.levels import Level, below, default_entry, way_to
from pybootcfg.cli.menu.views import HiddenView, LevelView, MessageView
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.guest import Guest
from pybootcfg.menu import Entry, Menu, Submenu
from pybootcfg.values import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pybootcfg.cli.menu.terminal import Terminal


class Cancelled(BootcfgError):
    """Somebody left the menu without a choice."""


class View(Protocol):
    """What fills the screen and takes the keys."""

    def draw(self, frame: Frame) -> None:
        """Draw into an empty frame."""

    def press(self, typed: Typed) -> None:
        """Act on a key."""


class Session:
    """The state of one menu on one terminal."""

    def __init__(
        self, guest: Guest, menu: Menu, request: Request, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.guest = guest
        self.menu = menu
        self.request = request
        self.access = Access(menu)
        self.boot: Boot | None = None
        self.default = default_entry(menu)
        self.views: list[View] = [LevelView(self, way_to(menu, self.default)[0])]
        self._clock = clock
        self._end: float | None = None
        if menu.timeout is not None and self.default is not None:
            self._end = clock() + menu.timeout
            if menu.hidden:
                self.views.append(HiddenView(self))

    # --- the countdown ---------------------------------------------------------------------------

    @property
    def seconds_left(self) -> int | None:
        """Return after how many seconds the default entry boots; None when nothing boots by itself."""
        if self._end is None:
            return None
        return max(math.ceil(self._end - self._clock()), 0)

    def stop_countdown(self) -> None:
        """Wait for ever from now on."""
        self._end = None

    # --- views -----------------------------------------------------------------------------------

    def open(self, view: View) -> None:
        """Put a view on top."""
        self.views.append(view)

    def close(self) -> None:
        """Go back to the view below."""
        if len(self.views) > 1:
            self.views.pop()

    def open_submenu(self, submenu: Submenu) -> None:
        """Show a submenu, its own default selected."""
        self.open(LevelView(self, below(self.menu, submenu)))

    def show_levels(self, levels: list[Level]) -> None:
        """Show the last of some levels, with those above it to go back to."""
        self.views = [LevelView(self, level) for level in levels]

    def say(self, message: str) -> None:
        """Show a message until a key is pressed."""
        self.open(MessageView(self, message))

    def draw(self, size: Size, *, utf8: bool = True) -> Frame:
        """Return the picture of the view on top."""
        frame = Frame(size, utf8=utf8)
        self.views[-1].draw(frame)
        return frame

    def press(self, typed: Typed) -> None:
        """Act on a key; raises Cancelled for Ctrl-C."""
        if typed is Key.CANCEL:
            raise Cancelled("the menu was left without a choice")
        if typed in (Key.RESIZE, Key.REDRAW):
            return
        self.stop_countdown()
        self.views[-1].press(typed)

    # --- booting ---------------------------------------------------------------------------------

    def boot_entry(self, entry: Entry, how: str) -> None:
        """Boot an entry, or show why it cannot be booted."""
        reason = f"{printable(entry.title)} was {how} in the menu"
        try:
            self.boot = boot_entry(self.guest, entry, self.request.args, (reason,))
        except (BootcfgError, OSError) as error:
            self.say("\n".join([str(error), *entry.warnings]))

    def boot_default(self) -> Boot:
        """Return what boots when nobody chooses; raises BootcfgError."""
        return boot_menu(self.guest, self.menu, self.request)

    def run(self, terminal: Terminal) -> Boot:
        """Show the menu until something is to be booted."""
        while self.boot is None:
            terminal.show(self.draw(terminal.size(), utf8=terminal.utf8))
            typed = terminal.key(self._wait())
            if typed is Key.REDRAW:
                terminal.redraw()
            if typed is not None:
                self.press(typed)
            elif self.seconds_left == 0:
                return self.boot_default()
        return self.boot

    def _wait(self) -> float | None:
        """Return how long to wait for a key: until the countdown's next second."""
        if self._end is None:
            return None
        left = max(self._end - self._clock(), 0)
        return left - (math.ceil(left) - 1) if left else 0
