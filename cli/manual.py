"""Writes the manual pages pygrub(8) and pybootcfg(1), and the shell completions, from programs.py.

    python -m pybootcfg.cli.manual ROOT        writes ROOT/docs/man and ROOT/completions

man(7) is the form of a page.
"""

from __future__ import annotations

import os
import sys
import textwrap

from pybootcfg.cli import completion, programs
from pybootcfg.cli.commands import EXAMPLES
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pybootcfg.cli.programs import Command, Option

_DATE = "2026-11-23"

_PYGRUB_DESCRIPTION = """\
pygrub reads the boot loader's configuration in a guest's disk image, lets somebody at the terminal choose
an entry or takes the default, copies the entry's kernel and initial ramdisk out, and tells the caller where
they are. Xen's toolstacks run it to start paravirtual and PVH guests; it takes the place of the pygrub that
comes with Xen.

The image is a file or a block device with or without a partition table. It is opened for reading only, is
never mounted, and is read in a process that can do nothing else: see SANDBOX.

Options may stand after IMAGE. Those of Xen's pygrub may be shortened as long as they stay unambiguous. Of an
option that is given more than once the last counts, but for --device."""

_KEYS = (
    ("Up, Down, Home, End, Page Up, Page Down", "select an entry; any key stops the countdown"),
    ("Enter", "boot the selected entry, or open the submenu"),
    ("e", "edit the entry's commands; Ctrl-X or F10 boots what they then say"),
    ("a", "edit the kernel's arguments; Enter boots"),
    (
        "c",
        "a command line: GRUB's for a guest with GRUB 2, with Tab to complete commands and paths; else a "
        "few commands that say what is to be booted",
    ),
    ("/", "search in the titles of all entries"),
    ("p", "type a password, where the configuration asks for one before entries may be edited"),
    ("Esc", "go back"),
    ("Ctrl-L", "draw the screen anew"),
    ("Ctrl-C", "leave without booting; the exit status is 1"),
)
_LINE_KEYS = """\
In a line, Left, Right, Home (Ctrl-A), End (Ctrl-E), Backspace and Delete do what they say; Ctrl-K deletes to
the end of the line, Ctrl-U to its beginning, Ctrl-W the word before the cursor.

The terminal has to understand the control sequences of a vt100. Where there is none, the default entry is
booted, and standard error says so. Without -q, a configuration that has no time-out waits for ever."""

_SANDBOX = """\
A first process opens the image and makes the output files. A second one, which has given up all it can give
up (root, other descriptors, the file system, the network, new processes, most system calls), reads the
guest and writes into those files. The first checks its answer and passes it on. A layer that this system does
not have is named on standard error; with --require-sandbox it is an error."""

_PYGRUB_ENVIRONMENT = (
    ("PYGRUB_MAX_FILE_SIZE_MB", "how large a kernel or ramdisk may be, in MiB"),
    ("PYGRUB_MAX_RAM_USAGE_MB", "how much memory the process that reads the guest may have, in MiB"),
    ("TERM", "what kind of terminal the menu is on; dumb or nothing means that there is none"),
    ("LC_ALL, LC_CTYPE, LANG", "whether the terminal shows UTF-8; else what is not ASCII is escaped"),
)

_PYGRUB_EXAMPLES = """\
pygrub -l disk.img
pygrub -n --explain disk.img
pygrub -q --output-format=simple --output-directory=/tmp disk.img
pygrub --entry='Advanced options>Debian, single user' disk.img"""

_PLACES = (
    (
        "pN:/path",
        "a path on volume N; p1 is the first one that pybootcfg volumes lists, p0 a file system without a "
        "partition table",
    ),
    ("dNpM:/path", "a path on volume M of disk N; disk 1 is IMAGE, the others are those of --device"),
    ("pN[NAME]:/path", "a path in a dataset, snapshot or subvolume of volume N"),
    ("/path", "a path on the volume whose boot configuration is used, or else on the only one"),
)

_EXIT = (
    ("0", "all went well"),
    ("1", "nothing is bootable, or what was asked for is not there"),
    ("2", "wrong usage"),
    ("3", "the image uses something that is not supported; the message names it"),
    ("4", "the image or the configuration is damaged"),
    ("5", "a limit against hostile images was hit; the message names it"),
    ("130, 143", "ended by SIGINT, SIGTERM"),
)


def pygrub_page() -> str:
    """Return pygrub(8)."""
    command = programs.PYGRUB
    lines = [
        *_head(command, 8),
        *_section("SYNOPSIS"),
        ".B pygrub",
        r"[\fIOPTION\fR].\|.\|.\&",
        ".I IMAGE",
        *_section("DESCRIPTION"),
        *_paragraphs(_PYGRUB_DESCRIPTION),
        *_section("OPTIONS"),
        *_options(command.options),
        *_section("MENU"),
        *_table(_KEYS),
        ".PP",
        *_paragraphs(_LINE_KEYS),
        *_section("SANDBOX"),
        *_paragraphs(_SANDBOX),
        *_section("EXIT STATUS"),
        *_paragraphs("0 when there is a result, 1 otherwise; the last line on standard error then says why."),
        *_section("ENVIRONMENT"),
        *_table(_PYGRUB_ENVIRONMENT),
        *_section("EXAMPLES"),
        *_verbatim(_PYGRUB_EXAMPLES),
        *_section("SEE ALSO"),
        *_references("pybootcfg(1)", "xl.cfg(5)"),
    ]
    return "\n".join(lines) + "\n"


def pybootcfg_page() -> str:
    """Return pybootcfg(1)."""
    command = programs.pybootcfg()
    common = programs.common_options(command.commands)
    lines = [
        *_head(command, 1),
        *_section("SYNOPSIS"),
        ".B pybootcfg",
        ".I COMMAND",
        r"[\fIOPTION\fR].\|.\|.\&",
        r"[\fIARGUMENT\fR].\|.\|.\&",
        *_section("DESCRIPTION"),
        *_paragraphs(
            "pybootcfg reads disk images of virtual machines: their boot menus, their files, and the "
            "structures on the disk. It needs neither root nor mounts, and writes nothing but what extract "
            "is asked for."
        ),
        *_section("COMMANDS"),
    ]
    for inner in command.commands:
        lines += [f".SS {_escape(inner.name)} {_escape(inner.synopsis())}".rstrip(), *_command(inner, common)]
    lines += [
        *_section("OPTIONS OF ALL COMMANDS"),
        *_options(common),
        *_section("OPTIONS WITHOUT A COMMAND"),
        *_options(command.options),
        *_section("PLACES"),
        *_table(_PLACES),
        *_section("EXIT STATUS"),
        *_table(_EXIT),
        *_section("EXAMPLES"),
        *_verbatim(textwrap.dedent(EXAMPLES.partition("\n")[2].partition("\n\n")[0])),
        *_section("SEE ALSO"),
        *_references("pygrub(8)"),
    ]
    return "\n".join(lines) + "\n"


def _command(command: Command, common: Sequence[Option]) -> Iterator[str]:
    yield from _paragraphs(command.summary[:1].upper() + command.summary[1:] + ".")
    for argument in command.arguments:
        if argument.help:
            yield from _tagged(rf"\fI{_escape(argument.value)}\fR", argument.help)
    yield from _options([option for option in command.options if option not in common])


# --- man(7) --------------------------------------------------------------------------------------


def _escape(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    text = text.replace("...", r".\|.\|.")
    return rf"\&{text}" if text.startswith(".") else text


def _head(command: Command, section: int) -> Iterator[str]:
    yield '.\\" Made by cli/manual.py from cli/programs.py.'
    yield f".TH {command.name.upper()} {section} {_DATE} pybootcfg"
    yield ".SH NAME"
    yield from textwrap.wrap(rf"{command.name} \- {_escape(command.summary)}", 78)


def _section(title: str) -> Iterator[str]:
    yield f".SH {title}" if " " not in title else f'.SH "{title}"'


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        yield from textwrap.wrap(_escape(" ".join(paragraph.split())), 78, break_on_hyphens=False)


def _tagged(tag: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield tag
    yield from _paragraphs(text)


def _table(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, text in rows:
        yield from _tagged(rf"\fB{_escape(name)}\fR", f"{text}.")


def _options(options: Sequence[Option]) -> Iterator[str]:
    for option in options:
        names = ", ".join(rf"\fB{_escape(name)}\fR" for name in option.names)
        text = option.help
        if option.choices:
            value = "|".join(rf"\fB{_escape(choice)}\fR" for choice in option.choices)
        else:
            value = rf"\fI{_escape(option.value)}\fR"
        if option.value:
            # an equals sign is right for both: pygrub's own options take nothing else
            names += f"={value}" if option.names[-1].startswith("--") else f" {value}"
        if option.repeats:
            text += " May be given more than once."
        yield from _tagged(names, text.strip())


def _verbatim(text: str) -> Iterator[str]:
    yield ".nf"
    yield from (_escape(line) for line in text.splitlines())
    yield ".fi"


def _references(*pages: str) -> Iterator[str]:
    for number, page in enumerate(pages, 1):
        name, _, section = page.rstrip(")").partition("(")
        yield f".BR {_escape(name)} ({section})" + ("," if number < len(pages) else "")


def files() -> dict[str, str]:
    """Return all that is made, by its path below the root of the project."""
    return {
        "docs/man/pygrub.8": pygrub_page(),
        "docs/man/pybootcfg.1": pybootcfg_page(),
        **{f"completions/{path}": text for path, text in completion.files().items()},
    }


def main() -> int:
    """Write the files below the directory that is given."""
    for path, text in files().items():
        target = os.path.join(sys.argv[1], path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
