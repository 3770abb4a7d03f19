"""Commands that few configurations use."""

from __future__ import annotations

from pybootcfg.dialects.grub2 import regexp
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.dialects.grub2.interpreter import Call, Command, Interpreter
from pybootcfg.dialects.grub2.numbers import whole_number
from pybootcfg.dialects.grub2.options import Option, Options
from pybootcfg.errors import printable


def _regexp(interpreter: Interpreter, call: Call) -> int:
    if len(call.words) != 2:
        raise Failure(Status.BAD_ARGUMENT, "two arguments expected")
    pattern, text = call.words
    try:
        expression = regexp.compile(pattern)
    except regexp.BadExpression:
        interpreter.warn(f"regexp: {printable(pattern)} is no regular expression that is known here")
        return Status.TEST_FAILURE
    groups = expression.search(text, interpreter.regexp_work)
    if groups is None:
        return Status.TEST_FAILURE
    for target in call.arguments.all("set"):
        digits, colon, variable = target.partition(":")
        index = 1
        if colon:
            try:
                index = whole_number(digits)
            except Failure as failure:
                message = f"invalid variable name format {target}"
                raise Failure(Status.BAD_ARGUMENT, message) from failure
        matched = groups[index] if index < len(groups) else None
        if matched is None:
            interpreter.environment.unset(variable or target)
        else:
            interpreter.environment.set(variable if colon else target, matched)
    return 0


def _tr(interpreter: Interpreter, call: Call) -> None:
    arguments = call.arguments
    source = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if "upcase" not in arguments else "abcdefghijklmnopqrstuvwxyz"
    words = list(call.words)
    if "downcase" in arguments or "upcase" in arguments:
        target = source.swapcase()
    elif len(words) >= 2:
        source, target, *words = words
    else:
        raise Failure(Status.BAD_ARGUMENT, "missing parameters")
    if len(words) != 1:
        raise Failure(Status.BAD_ARGUMENT, "missing parameters")
    if len(source) != len(target):
        raise Failure(Status.BAD_ARGUMENT, "set sizes did not match")
    table: dict[int, str] = {}
    for one, other in zip(source, target, strict=True):
        table.setdefault(ord(one), other)
    changed = words[0].translate(table)
    variable = arguments.value("set")
    if variable is None:
        interpreter.print(f"{changed}\n")
    else:
        interpreter.environment.set(variable, changed)


def _date(interpreter: Interpreter, call: Call) -> None:
    """Print the date; there is no clock to set, and the result must not depend on when it was made."""
    if not call.words:
        interpreter.print("1970-01-01 00:00:00 Thursday\n")


def _not_here(interpreter: Interpreter, call: Call) -> int:
    interpreter.warn(f"{call.name} is not carried out here and fails")
    return Status.TEST_FAILURE


_TR = Options((Option("set", "s", takes=True), Option("upcase", "U"), Option("downcase", "D")))

COMMANDS: dict[str, Command] = {
    "regexp": Command(_regexp, Options((Option("set", "s", takes=True),))),
    "tr": Command(_tr, _TR),
    "date": Command(_date),
    **dict.fromkeys(
        (
            *("hashsum", "md5sum", "sha1sum", "sha256sum", "sha512sum", "crc", "smbios"),
            *("legacy_source", "legacy_configfile", "syslinux_source", "syslinux_configfile"),
        ),
        Command(_not_here, yields=True),
    ),
}
