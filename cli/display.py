"""How text reaches a person: colours when wanted, plain and fixed when piped; pictures of it."""

from __future__ import annotations

import io
import os
import shutil
import sys

from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

#: ANSI styles by what they mean here
STYLES = {
    "name": "cyan",
    "offset": "dim",
    "value": "green",
    "unit": "dim",
    "bad": "bold red",
    "mark": "bold yellow",
    "head": "bold",
    # a field and its bytes have the same one of these
    "field0": "cyan",
    "field1": "yellow",
    "field2": "magenta",
    "field3": "bright_blue",
    "field4": "bright_green",
    "field5": "bright_red",
}
_PLAIN_COLUMNS = 80
#: what stands for characters that the terminal's encoding lacks
_ASCII = {"…": "...", "█": "#", "▌": "+", "·": ".", "└": "`", "├": "+", "─": "-", "│": "|"}


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
    """Lines of styled pieces, printed with rich when colours are wanted, else as they are.

    With the options --svg FILE or --html FILE they are drawn instead, and written by `close`.
    `columns` is the width of the terminal; 80 when there is none.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._console = None
        self.svg: str = getattr(options, "svg", None) or ""
        self.html: str = getattr(options, "html", None) or ""
        self.columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PLAIN_COLUMNS
        self._drawn: list[list[tuple[str, str]]] = []
        if wants_colour(options.color) and not self.drawing:
            from rich.console import Console

            # what rich would make of TERM and NO_COLOR is decided above
            self._console = Console(
                force_terminal=True, color_system="standard", no_color=False, highlight=False, soft_wrap=True
            )

    @property
    def drawing(self) -> bool:
        """Whether a picture is made instead of text."""
        return bool(self.svg or self.html)

    def line(self, *pieces: str | tuple[str, str]) -> None:
        """Print one line of pieces, each plain or with the name of its style."""
        if self.drawing:
            self._drawn.append([(piece, "") if isinstance(piece, str) else piece for piece in pieces])
            return
        if self._console is None:
            text = "".join(piece if isinstance(piece, str) else piece[0] for piece in pieces).rstrip()
            print(_encodable(text))
            return
        from rich.text import Text

        styled = [
            _encodable(piece) if isinstance(piece, str) else (_encodable(piece[0]), STYLES[piece[1]])
            for piece in pieces
        ]
        self._console.print(Text.assemble(*styled))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns that are as wide as their widest cell; the last is not padded."""
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        for index, row in enumerate([head, *rows]):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            text = "  ".join(cells).rstrip()
            self.line((text, "head") if index == 0 else text)

    def close(self) -> None:
        """Write the pictures; raises OSError."""
        if not self.drawing:
            return
        from rich.console import Console
        from rich.text import Text

        width = max((sum(len(text) for text, _ in line) for line in self._drawn), default=1)
        console = Console(
            record=True,
            width=max(_PLAIN_COLUMNS, width),
            file=io.StringIO(),
            force_terminal=True,
            color_system="truecolor",
            highlight=False,
            legacy_windows=False,
        )
        for line in self._drawn:
            console.print(
                Text.assemble(*[(text, STYLES.get(style, "")) for text, style in line]), soft_wrap=True
            )
        if self.svg:
            with open(self.svg, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(console.export_svg(title="pybootcfg inspect", clear=False, code_format=_SVG))
        if self.html:
            with open(self.html, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(console.export_html(clear=False))


#: rich's own form of an SVG fetches a font from elsewhere
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "".join(_ASCII.get(char, char) for char in text)
    return text.encode(encoding, "backslashreplace").decode(encoding)
