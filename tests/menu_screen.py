"""A menu without a terminal: keys in, pictures out.  As a program: the menu of an image on the terminal."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from pybootcfg.boot import Boot, Request, find_menu
from pybootcfg.cli.menu import Cancelled, TerminalLost, UnusableTerminal, interact, prepare
from pybootcfg.cli.menu.frame import Size
from pybootcfg.cli.menu.keys import KeyReader
from pybootcfg.cli.menu.session import Session
from pybootcfg.errors import BootcfgError
from pybootcfg.guest import Guest

UP, DOWN, RIGHT, LEFT = b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D"
HOME, END, PAGE_UP, PAGE_DOWN, DELETE = b"\x1b[H", b"\x1b[F", b"\x1b[5~", b"\x1b[6~", b"\x1b[3~"
ENTER, ESCAPE, TAB, BACKSPACE, BOOT = b"\r", b"\x1b", b"\t", b"\x7f", b"\x18"

VT100 = Size(24, 80)


class Screen:
    """The menu of an image or a directory, with keys pressed one after the other."""

    def __init__(self, image: Path, *, args: str = "", size: Size = VT100, utf8: bool = True) -> None:
        self.now = 0.0
        guest = Guest.open([str(image)])
        request = Request(args=args)
        self.session = Session(guest, find_menu(guest, request.settings), request, lambda: self.now)
        self.size = size
        self.utf8 = utf8

    def press(self, *keys: bytes) -> Screen:
        for typed in keys:
            reader = KeyReader()
            reader.feed(typed)
            while (key := reader.next(final=True)) is not None:
                assert self.boot is None, "a key after the end"
                self.session.press(key)
        return self

    @property
    def boot(self) -> Boot | None:
        return self.session.boot

    @property
    def text(self) -> str:
        return self.session.draw(self.size, utf8=self.utf8).text()

    @property
    def selected(self) -> str:
        """What is drawn as selected."""
        found = re.search(r">(.*)<", self.text)
        assert found, self.text
        return found[1]


def make_tree(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Make a directory that stands for a guest, with a kernel, two ramdisks and `files`."""
    for name, contents in {"boot/k": "KERNEL", "boot/i": "INITRD", "boot/j": "J", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return folder


def main() -> int:
    """Show the menu of an image; `--prepared` prepares the terminal beforehand, as pygrub does."""
    arguments = sys.argv[1:]
    prepared = "--prepared" in arguments
    images = [argument for argument in arguments if argument != "--prepared"]
    request = Request()
    try:
        terminal = prepare() if prepared else None
        guest = Guest.open(images)
        menu = find_menu(guest, request.settings)
        boot = interact(guest, menu, request, terminal)
    except (Cancelled, TerminalLost, UnusableTerminal) as error:
        os.write(2, f"{type(error).__name__}: {error}\r\n".encode())
        return 1
    except BootcfgError as error:
        os.write(2, f"failed: {error}\r\n".encode())
        return 1
    initrds = " ".join(map(str, boot.initrds))
    os.write(1, f"BOOTS [{boot.kernel}] [{initrds}] [{boot.args}]\r\n".encode("utf-8", "surrogateescape"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
