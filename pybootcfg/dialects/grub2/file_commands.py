"""Commands about files: further configurations, environment blocks, `ls` and `cat`."""

from __future__ import annotations

from pybootcfg.dialects.grub2.environment_block import EnvironmentBlock
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.dialects.grub2.interpreter import Call, Command, Interpreter
from pybootcfg.dialects.grub2.options import Option, Options
from pybootcfg.dialects.grub2.syntax import file_text
from pybootcfg.errors import printable
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef

# --- further configurations ----------------------------------------------------------------------


def run_file(interpreter: Interpreter, name: str) -> bool:
    """Run a configuration in the present context; return whether it is there."""
    try:
        file, data = interpreter.files.read(name)
    except Failure as failure:
        interpreter.warn(f"{printable(name)}: {failure.message}")
        return False
    environment = interpreter.environment
    old = {key: environment.get(key) for key in ("config_file", "config_directory")}
    full = name if name.startswith("(") else f"({environment.get('root') or ''}){name}"
    environment.set("config_file", full)
    environment.set("config_directory", full.rpartition("/")[0])
    for key in old:
        environment.export(key)
    interpreter.run_text(file_text(data, str(file)), file)
    for key, value in old.items():
        if value is None:
            environment.unset(key)
        else:
            environment.set(key, value)
    return True


def _named(call: Call) -> str:
    if len(call.words) != 1:
        raise Failure(Status.BAD_ARGUMENT, "filename expected")
    return call.words[0]


def _source(interpreter: Interpreter, call: Call) -> None:
    run_file(interpreter, _named(call))


def _configfile(interpreter: Interpreter, call: Call) -> None:
    """Show the menu of another configuration, which sees what is exported."""
    name = _named(call)
    with interpreter.menus.nested(interpreter):
        run_file(interpreter, name)


def _normal(interpreter: Interpreter, call: Call) -> None:
    name = call.words[0] if call.words else f"{interpreter.environment.get('prefix') or ''}/grub.cfg"
    with interpreter.menus.nested(interpreter, own_context=False):
        run_file(interpreter, name)


def _extract(interpreter: Interpreter, call: Call) -> None:
    """Take over the entries of another configuration; only commands that cannot harm are run."""
    name = _named(call)
    interpreter.extractors += 1
    try:
        if call.name.endswith("source"):
            interpreter.environment.open(everything=True)
            run_file(interpreter, name)
            interpreter.environment.close()
        else:
            with interpreter.menus.nested(interpreter):
                run_file(interpreter, name)
    finally:
        interpreter.extractors -= 1


# --- environment blocks --------------------------------------------------------------------------


def _block(interpreter: Interpreter, call: Call) -> tuple[FileRef, EnvironmentBlock]:
    prefix = interpreter.environment.get("prefix")
    name = call.arguments.value("file")
    if name is None:
        name = f"{prefix or ''}/grubenv"
    place = interpreter.files.place(name)
    block = interpreter.blocks.get(place)
    if block is None:
        place, data = interpreter.files.read(name)
        interpreter.environment_text.spend(len(data))
        block = EnvironmentBlock(data, str(place))
    interpreter.steps.spend(len(block.variables))
    return place, block


def _load_env(interpreter: Interpreter, call: Call) -> None:
    _, block = _block(interpreter, call)
    for name, value in block.variables:
        if not call.words or name in call.words:
            interpreter.environment.set(name, value)


def _list_env(interpreter: Interpreter, call: Call) -> None:
    _, block = _block(interpreter, call)
    for name, value in block.variables:
        interpreter.print(f"{name}={value}\n")


def _save_env(interpreter: Interpreter, call: Call) -> None:
    """Save variables: in memory, where a later `load_env` of the same run finds them."""
    if not call.words:
        raise Failure(Status.BAD_ARGUMENT, "no variable is specified")
    file, block = _block(interpreter, call)
    interpreter.steps.spend(len(block.variables) * (len(call.words) - 1))
    for name in call.words:
        value = interpreter.environment.get(name)
        if value is None:
            block.delete(name)
        else:
            block.set(name, value)
    interpreter.blocks[file] = block


# --- looking at files ----------------------------------------------------------------------------


def _cat(interpreter: Interpreter, call: Call) -> None:
    if len(call.words) != 1:
        raise Failure(Status.BAD_ARGUMENT, "filename expected")
    _, data = interpreter.files.read(call.words[0])
    text = data.decode("utf-8", "surrogateescape")
    interpreter.print((text.replace("\r\n", "\n") if "dos" in call.arguments else text) + "\n")


def _ls(interpreter: Interpreter, call: Call) -> int:
    files = interpreter.files
    if not call.words:
        interpreter.print("".join(f"({device}) " for device in files.devices()) + "\n")
        return 0
    for name in call.words:
        if not name.startswith("/") and not (name.startswith("(") and ")" in name):
            raise Failure(Status.BAD_FILENAME, f"invalid file name `{name}'")
        device, path = files.split(name)
        if not path:
            _describe(interpreter, device)
        elif files.kind(name) is Kind.DIRECTORY:
            listed = files.names(f"{name.rstrip('/')}/")
            hidden = "all" not in call.arguments
            shown = [item for item in listed if not (hidden and item.startswith("."))]
            marked = (
                f"{item}/" if files.is_directory(f"{name.rstrip('/')}/{item}") else item for item in shown
            )
            interpreter.print(" ".join([*marked, "\n"]))
        elif files.kind(name) is Kind.FILE:
            interpreter.print(f"{path.rpartition('/')[2]} \n")
        else:
            raise Failure(Status.FILE_NOT_FOUND, f"file `{path}' not found")
    return 0


def _describe(interpreter: Interpreter, device: str) -> None:
    volume = interpreter.files.volume(device)
    facts = next((facts for facts in interpreter.machine.volumes() if facts.name == volume), None)
    if volume is None or facts is None:
        raise Failure(Status.UNKNOWN_DEVICE, f"disk `{device}' not found")
    filesystem = "ext*" if facts.filesystem == "ext2" else facts.filesystem
    kind = f"Filesystem type {filesystem}" if filesystem else "No known filesystem detected"
    label = f" - Label `{facts.label}'" if facts.label else ""
    uuid = f", UUID {facts.uuid}" if facts.uuid else ""
    what = "\tPartition" if "," in device else "Device"
    interpreter.print(f"{what} {device}: {kind}{label}{uuid}\n")


_COMPARED = 4096  #: bytes of two files that are compared at once


def _cmp(interpreter: Interpreter, call: Call) -> int:
    if len(call.words) != 2:
        raise Failure(Status.BAD_ARGUMENT, "two arguments expected")
    first, second = call.words
    interpreter.print(f"Compare file `{first}' with `{second}':\n")
    _, left = interpreter.files.read(first)
    _, right = interpreter.files.read(second)
    if len(left) != len(right):
        interpreter.print(f"Files differ in size: {len(left)} [{first}], {len(right)} [{second}]\n")
        return 0
    for start in range(0, len(left), _COMPARED):
        one, other = left[start : start + _COMPARED], right[start : start + _COMPARED]
        if one != other:
            at = next(index for index in range(len(one)) if one[index] != other[index])
            where = f"0x{one[at]:x} [{first}], 0x{other[at]:x} [{second}]"
            interpreter.print(f"Files differ at the offset {start + at}: {where}\n")
            return 0
    interpreter.print("The files are identical.\n")
    return 0


_BLOCK = Options((Option("file", "f", takes=True), Option("skip-sig", "s")))
_LS = Options((Option("long", "l"), Option("human-readable", "h"), Option("all", "a")))
_CAT = Options((Option("dos"),))

COMMANDS: dict[str, Command] = {
    "source": Command(_source),
    ".": Command(_source),
    "configfile": Command(_configfile),
    "normal": Command(_normal),
    "extract_entries_source": Command(_extract),
    "extract_entries_configfile": Command(_extract),
    "load_env": Command(_load_env, _BLOCK),
    "list_env": Command(_list_env, _BLOCK),
    "save_env": Command(_save_env, _BLOCK),
    "cat": Command(_cat, _CAT),
    "ls": Command(_ls, _LS),
    "cmp": Command(_cmp),
}
