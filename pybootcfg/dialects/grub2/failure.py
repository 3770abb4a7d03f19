"""How commands fail: with one of GRUB's error numbers, which is the status of the command."""

from __future__ import annotations

from pybootcfg.values import IntEnum


class Status(IntEnum):
    """The statuses that GRUB 2.06 gives, which scripts see in `$?` (include/grub/err.h)."""

    NONE = 0
    TEST_FAILURE = 1
    BAD_MODULE = 2
    OUT_OF_MEMORY = 3
    BAD_FILE_TYPE = 4
    FILE_NOT_FOUND = 5
    FILE_READ_ERROR = 6
    BAD_FILENAME = 7
    UNKNOWN_FS = 8
    BAD_FS = 9
    BAD_NUMBER = 10
    OUT_OF_RANGE = 11
    UNKNOWN_DEVICE = 12
    BAD_DEVICE = 13
    UNKNOWN_COMMAND = 16
    INVALID_COMMAND = 17
    BAD_ARGUMENT = 18
    NO_KERNEL = 22
    NOT_IMPLEMENTED_YET = 24
    MENU = 27
    EXTRACTOR = 31


class Failure(Exception):
    """A command that fails as GRUB's would; `message` is GRUB's text, empty when it prints none."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
