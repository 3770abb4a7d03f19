"""How text reaches a person: colours when wanted, plain and fixed when piped."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

#: ANSI styles by what they mean here
STYLES = {
    "name": "cyan",
    "offset": "dim",
    "value": "green",
    "bad": "bold red",
    "mark": "bold yellow",
    "head": "bold",
}


def wants_colour(choice: str) -> bool:
    """Whether to colour stdout: by option, NO_COLOR, FORCE_COLOR, TERM=dumb, or a terminal, in that order."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE"):
        return True
    return os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def human(size: int) -> str:
    """Return a size as a person reads it, with the exact bytes: `513 MiB (537919488)`."""
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    short = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return f"{short} {units[0]}" if units[0] == "B" else f"{short} {units[0]} ({size})"


class Page:
    """Lines of styled pieces, printed with rich when colours are wanted, else as they are."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._console = None
        if wants_colour(options.color):
            from rich.console import Console

            self._console = Console(force_terminal=True, highlight=False, soft_wrap=True)

    def line(self, *pieces: str | tuple[str, str]) -> None:
        """Print one line of pieces, each plain or with the name of its style."""
        if self._console is None:
            text = "".join(piece if isinstance(piece, str) else piece[0] for piece in pieces).rstrip()
            print(_encodable(text))
            return
        from rich.text import Text

        styled = [piece if isinstance(piece, str) else (piece[0], STYLES[piece[1]]) for piece in pieces]
        self._console.print(Text.assemble(*styled))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns that are as wide as their widest cell; the last is not padded."""
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        for index, row in enumerate([head, *rows]):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            text = "  ".join(cells).rstrip()
            self.line((text, "head") if index == 0 else text)


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)
