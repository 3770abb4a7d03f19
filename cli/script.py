"""`pybootcfg script`: run a GRUB 2 script, or judge its syntax."""

from __future__ import annotations

import argparse
import sys

from pybootcfg import limits
from pybootcfg.cli.commands import open_guest, report, settings_of
from pybootcfg.dialects import grub2
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import UsageError
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Guest


def script(options: argparse.Namespace) -> int:
    """Run the script on an image, a tree, or a guest without any disk; return the script's status."""
    if options.image and options.tree:
        raise UsageError("an image or --tree, not both")
    text = _read(options.file)
    if options.check:
        errors = grub2.check(text, options.file)
        for error in errors:
            report(error)
        return 4 if errors else 0
    if options.image:
        guest = open_guest(options)
    elif options.tree:
        guest = Guest.of_directory(options.tree, "")
    else:
        guest = Guest([], Options())
    settings = Settings(settings_of(options))
    return grub2.run_script(guest, text, settings, _output, _error, name=options.file)


def _read(file: str) -> bytes:
    if file == "-":
        text = sys.stdin.buffer.read(limits.CONFIG_SIZE.value + 1)
    else:
        with open(file, "rb") as stream:
            text = stream.read(limits.CONFIG_SIZE.value + 1)
    limits.CONFIG_SIZE.check(len(text), file)
    return text


def _output(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))


def _error(text: str) -> None:
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stderr.buffer.flush()
