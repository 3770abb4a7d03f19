"""What can go wrong, sorted by who must act.

Every error that pybootcfg raises on purpose derives from `BootcfgError`.  Its text says what is
wrong and where; `hint` says what to try.  Text that came from a guest is escaped where it is shown
to a person (`printable`), never here.
"""

from __future__ import annotations


class BootcfgError(Exception):
    """The root of all errors that pybootcfg raises on purpose."""

    #: exit status of the `pybootcfg` command for this class of error (CLI contract)
    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(BootcfgError):
    """The caller asked for something that makes no sense; the caller must ask otherwise."""

    exit_status = 2


class ImageError(BootcfgError):
    """The disk image is damaged or truncated; its owner must repair it.

    `offset` is in bytes within `source` (the name of a disk, a volume or a file system);
    `structure` names the on-disk structure in the terms of its specification.
    """

    exit_status = 4

    def __init__(
        self,
        message: str,
        *,
        offset: int | None = None,
        structure: str = "",
        source: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.offset = offset
        self.structure = structure
        self.source = source

    def __str__(self) -> str:
        where = self.structure
        if self.offset is not None:
            where += f"{' ' if where else ''}at byte {self.offset:#x}"
        if self.source:
            where += f"{' ' if where else ''}of {self.source}"
        text = f"{self.message} [{where}]" if where else self.message
        return f"{text} ({self.hint})" if self.hint else text


class UnsupportedFeature(BootcfgError):
    """The image is sound, but uses something that pybootcfg cannot read; `name` is its usual name."""

    exit_status = 3

    def __init__(self, name: str, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or f"{name} is not supported", hint=hint)
        self.name = name


class ConfigError(BootcfgError):
    """A boot loader configuration is wrong at `file`:`line`:`column` (both count from 1).

    `excerpt` is the line and, below it, a caret under the column; empty where there is no text.
    """

    exit_status = 4

    def __init__(
        self, message: str, *, file: str = "", line: int = 0, column: int = 0, excerpt: str = ""
    ) -> None:
        super().__init__(message)
        self.excerpt = excerpt
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = ":".join([self.file or "configuration", *(str(n) for n in (self.line, self.column) if n)])
        return f"{place}: {self.message}"


class LimitExceeded(BootcfgError):
    """A number from the image, or the work done for it, is over the cap named `limit`."""

    exit_status = 5

    def __init__(self, limit: str, value: int, cap: int, where: str = "") -> None:
        place = f" [{where}]" if where else ""
        what = f"the limit of {cap} is used up" if value == cap else f"{value} is over the limit of {cap}"
        super().__init__(f"{limit}: {what}{place}", hint=f"--limit={limit}=VALUE sets another")
        self.limit = limit
        self.value = value
        self.cap = cap


class GuestFileMissing(BootcfgError):
    """A file that the boot configuration or the caller names is not in the guest."""

    def __init__(self, path: str, message: str = "no such file or directory", *, hint: str = "") -> None:
        super().__init__(f"{path}: {message}", hint=hint)
        self.path = path


def printable(text: str | bytes) -> str:
    r"""Escape guest text for a terminal or a log: no control, bidirectional or undecodable bytes.

    >>> print(printable(b"ok \x1b[31m \xff"))
    ok \x1b[31m \xff
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable()
        else f"\\x{ord(char) - 0xDC00:02x}"
        if "\udc80" <= char <= "\udcff"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
