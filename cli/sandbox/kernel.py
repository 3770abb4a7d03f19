"""System calls for which Python has no function, by way of the C library."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

Argument = int | bytes | ctypes.Array[ctypes.c_char] | ctypes.Structure | None


def call(function: str, *arguments: Argument) -> int:
    """Call a function of the C library that returns -1 and sets errno; raise OSError when it does."""
    result: int = getattr(_libc, function)(*map(_passed, arguments))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), function)
    return result


def syscall(name: str, number: int, *arguments: Argument) -> int:
    """Make a system call that the C library has no function for."""
    try:
        return call("syscall", number, *arguments)
    except OSError as error:
        error.filename = name
        raise


def _passed(argument: Argument) -> object:
    # Unless told, ctypes passes an int as a C int, and the upper half of the register is anything.
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    return ctypes.byref(argument) if isinstance(argument, ctypes.Structure) else argument
