"""Commands about devices: `search`, `probe`, `loopback`."""

from __future__ import annotations

from pybootcfg.dialects.base import SearchKey, VolumeFacts
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.dialects.grub2.interpreter import Call, Command, Interpreter
from pybootcfg.dialects.grub2.options import Option, Options
from pybootcfg.errors import printable
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_HINTS = {"pc": "hint-bios", "efi": "hint-efi", "ieee1275": "hint-ieee1275", "arc": "hint-arc"}


def _find(
    interpreter: Interpreter, key: SearchKey, value: str, variable: str | None, hints: Iterable[str]
) -> None:
    """Set a variable to the first device that has it, one of those hinted at before all others."""
    found = interpreter.files.search(key, value)
    if not found:
        interpreter.warn(f"search: no volume has the {key} {printable(value)}")
        raise Failure(Status.FILE_NOT_FOUND, f"no such device: {value}")
    if variable is None:
        interpreter.print("".join(f" {device}" for device in found))
        return
    chosen = found[0]
    for hint in hints:
        whole = hint.removesuffix(",")
        volume = interpreter.files.volume(whole) if whole else None
        hinted = [
            device for device in found if volume is not None and interpreter.files.volume(device) == volume
        ]
        if not hinted and hint.endswith(","):
            hinted = [device for device in found if device.startswith(hint)]
        if hinted:
            chosen = hinted[0]
            break
    interpreter.environment.set(variable, chosen)


def _search(interpreter: Interpreter, call: Call) -> None:
    arguments = call.arguments
    words = list(call.words)
    while words and words[0].startswith("--hint-"):
        del words[0]
    given = arguments.value("set")
    variable = (given or "root") if "set" in arguments else None
    if words:
        value = words[0]
    elif given:
        value, variable = given, "root"
    else:
        raise Failure(Status.BAD_ARGUMENT, "one argument expected")
    platform = interpreter.environment.get("grub_platform") or ""
    hints = arguments.all("hint") + arguments.all(_HINTS.get(platform, "")) + arguments.all("hint-baremetal")
    for name, key in (("label", SearchKey.LABEL), ("fs-uuid", SearchKey.UUID), ("file", SearchKey.FILE)):
        if name in arguments:
            _find(interpreter, key, value, variable, hints)
            return
    raise Failure(Status.INVALID_COMMAND, "unspecified search type")


def _search_by(key: SearchKey) -> Callable[[Interpreter, Call], None]:
    def search(interpreter: Interpreter, call: Call) -> None:
        if not call.words:
            raise Failure(Status.BAD_ARGUMENT, "one argument expected")
        value, *rest = call.words
        _find(interpreter, key, value, rest[0] if rest else None, rest[1:])

    return search


def _probe(interpreter: Interpreter, call: Call) -> None:
    if not call.words:
        raise Failure(Status.BAD_ARGUMENT, "device name required")
    device = call.words[0]
    if device.startswith("(") and device.endswith(")"):
        device = device[1:-1]
    volume = interpreter.files.volume(device)
    facts = next((facts for facts in interpreter.machine.volumes() if facts.name == volume), None)
    if volume is None or facts is None:
        raise Failure(Status.UNKNOWN_DEVICE, f"disk `{device}' not found")
    value = _probed(call, facts)
    variable = call.arguments.value("set")
    if variable is None:
        interpreter.print(value)
    else:
        interpreter.environment.set(variable, value)


def _probed(call: Call, facts: VolumeFacts) -> str:
    if "driver" in call.arguments:
        return "biosdisk"
    if "partmap" in call.arguments:
        return facts.partmap if "," in facts.grub and facts.partmap else "none"
    if "part-uuid" in call.arguments:
        return facts.partuuid.lower() or "none"
    if not facts.filesystem:
        raise Failure(Status.UNKNOWN_FS, "unknown filesystem")
    if "fs" in call.arguments:
        return facts.filesystem
    if "fs-uuid" in call.arguments:
        if not facts.uuid:
            raise Failure(Status.NOT_IMPLEMENTED_YET, f"{facts.filesystem} does not support UUIDs")
        return facts.uuid
    if "label" in call.arguments:
        return facts.label
    raise Failure(Status.BAD_ARGUMENT, "unrecognised target")


def _loopback(interpreter: Interpreter, call: Call) -> None:
    """Make a device of a file, such as an ISO image."""
    loopbacks = interpreter.files.loopbacks
    if not call.words:
        raise Failure(Status.BAD_ARGUMENT, "device name required")
    device = call.words[0]
    if "delete" in call.arguments:
        if loopbacks.pop(device, None) is None:
            raise Failure(Status.BAD_DEVICE, "device not found")
        return
    if len(call.words) < 2:
        raise Failure(Status.BAD_ARGUMENT, "filename expected")
    name = call.words[1]
    root = interpreter.environment.get("root") or ""
    loopbacks[device] = name if name.startswith("(") else f"({root}){name}"
    if not interpreter.files.is_file(name):
        raise Failure(Status.FILE_NOT_FOUND, f"file `{name.rpartition(')')[2]}' not found")


_SEARCH = Options(
    (
        Option("file", "f"),
        Option("label", "l"),
        Option("fs-uuid", "u"),
        Option("set", "s", takes=True, optional=True),
        Option("no-floppy", "n"),
        Option("efidisk-only"),
        Option("root-dev-only", "r"),
        Option("hint", "h", takes=True),
        *(Option(f"hint-{name}", takes=True) for name in ("ieee1275", "bios", "baremetal", "efi", "arc")),
    ),
    passes_unknown=True,
)
_PROBE = Options(
    (
        Option("set", "s", takes=True),
        Option("driver", "d"),
        Option("partmap", "p"),
        Option("fs", "f"),
        Option("fs-uuid", "u"),
        Option("label", "l"),
        Option("part-uuid"),
    )
)

COMMANDS: dict[str, Command] = {
    "search": Command(_search, _SEARCH, extracts=True),
    "search.fs_uuid": Command(_search_by(SearchKey.UUID)),
    "search.file": Command(_search_by(SearchKey.FILE)),
    "search.fs_label": Command(_search_by(SearchKey.LABEL)),
    "probe": Command(_probe, _PROBE),
    "loopback": Command(_loopback, Options((Option("delete", "d"), Option("decompress", "D")))),
}
