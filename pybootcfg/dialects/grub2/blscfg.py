"""The command `blscfg`: entries of the Boot Loader Specification in GRUB's menu.

As Fedora and Red Hat patch GRUB, which is not as the specification has it: entries go by their file
names, only the first `options` counts, and variables of GRUB stand in them.  The options of GRUB 2.14's
own `blscfg` are taken as well.  docs/dialects/bls.md tells the differences.
"""

from __future__ import annotations

import bisect

from pybootcfg import grammar, limits, numerals, versions
from pybootcfg.dialects.grub2.environment import Environment
from pybootcfg.dialects.grub2.failure import Failure
from pybootcfg.dialects.grub2.interpreter import Call, Command, Interpreter
from pybootcfg.dialects.grub2.menus import Definition, user_names
from pybootcfg.dialects.grub2.options import Option, Options, parse
from pybootcfg.dialects.grub2.snippets import Snippet
from pybootcfg.errors import printable
from pybootcfg.grammar import Text, Token
from pybootcfg.menu import Place
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER = "/loader/entries/"
_FALLBACK = "/boot/loader/entries/"
_ENDING = ".conf"


class _Wish(NamedTuple):
    """What a call asks for: where to read, and which entries to show."""

    path: str = ""
    default: bool = True
    others: bool = True
    id: str = ""


def _blscfg(interpreter: Interpreter, call: Call) -> None:
    wish = _wish(call.words)
    _load(interpreter, wish.path)
    default = interpreter.environment.get("default")
    snippets = interpreter.snippets
    shown = []
    for index, snippet in enumerate(reversed(snippets.entries)):
        is_default = _is_default(default, snippet, index)
        wanted = wish.default if is_default else wish.others
        if not snippet.shown and (wanted or snippet.id == wish.id):
            _show(interpreter, snippet)
            snippet = snippet._replace(shown=True)
        shown.append(snippet)
    snippets.entries = tuple(reversed(shown))


def _wish(words: Sequence[str]) -> _Wish:
    if any(word.startswith("-") for word in words):
        parsed = parse(_OPTIONS, words)
        chosen = any(name in parsed for name in ("show-default", "show-non-default", "entry"))
        name = (parsed.value("entry") or "").removesuffix(_ENDING)
        return _Wish(
            parsed.value("path") or "",
            "show-default" in parsed or not chosen,
            "show-non-default" in parsed or not chosen,
            name,
        )
    if len(words) != 1:
        return _Wish()
    if words[0] in ("default", "non-default"):
        return _Wish(default=words[0] == "default", others=words[0] == "non-default")
    if words[0].startswith("("):
        return _Wish(path=words[0])
    return _Wish(default=False, others=False, id=words[0])


def _is_default(default: str | None, snippet: Snippet, index: int) -> bool:
    if default is None:
        return False
    if default in (snippet.id, snippet.first("title")):
        return True
    try:
        return numerals.read(default).value == index
    except (numerals.NoDigits, numerals.TooLarge):
        return False


# --- reading -------------------------------------------------------------------------------------


def _load(interpreter: Interpreter, path: str) -> None:
    files = interpreter.files
    if path.endswith(_ENDING):
        _read(interpreter, path)
        return
    if path.startswith("("):
        device, path = files.split(path)
        devices = [device]
    else:
        devices = [name for name in map(interpreter.environment.get, ("root", "boot")) if name]
        devices = [name for name in devices if files.volume(name) is not None] or [files.own_device]
    folders = [path] if path else [interpreter.environment.get("blsdir") or _FOLDER, _FALLBACK]
    for device in devices:
        for folder in folders:
            place = f"({device}){folder}".rstrip("/")
            if not files.is_directory(place):
                continue
            for name in files.names(place):
                if name.endswith(_ENDING) and name != _ENDING and not name.startswith("."):
                    _read(interpreter, f"{place}/{name}")
            return
    interpreter.warn(f"blscfg: there is no {printable(folders[0])} on {printable(', '.join(devices))}")


def _read(interpreter: Interpreter, name: str) -> None:
    snippets = interpreter.snippets
    try:
        file, data = interpreter.files.read(name)
    except Failure as failure:
        interpreter.warn(f"blscfg: {printable(failure.message)}")
        return
    snippets.text.spend(len(data))
    text = Text(data.decode("utf-8", "surrogateescape").replace("\r", ""), str(file))
    found: list[tuple[str, str]] = []
    line = 1
    for item in grammar.load("blscfg").parse(text).trees():
        if item.data == "last":
            break
        if item.data == "field":
            key, *value = item.tokens()
            found.append((key.text, value[0].text if value else ""))
            line = text.line(key.offset) if key.text == "linux" else line
    name = name.rpartition("/")[2].removesuffix(_ENDING)
    _add(interpreter, Snippet(versions.package(name), name, tuple(found), Place(file, line)))


def _add(interpreter: Interpreter, entry: Snippet) -> None:
    """Put an entry in its place; one whose name counts as equal to another's is dropped."""
    snippets = interpreter.snippets
    limits.BLS_ENTRIES.check(len(snippets.entries) + 1)
    index = bisect.bisect_left(snippets.entries, entry.key, key=lambda other: other.key)
    if index < len(snippets.entries) and snippets.entries[index].key == entry.key:
        other = snippets.entries[index].id
        if entry.id != other:
            interpreter.warn(
                f"blscfg: {printable(entry.id)} is dropped: it counts as equal to {printable(other)}"
            )
        return
    snippets.entries = (*snippets.entries[:index], entry, *snippets.entries[index:])


# --- showing -------------------------------------------------------------------------------------


def _show(interpreter: Interpreter, snippet: Snippet) -> None:
    """Add an entry to the menu: its body is a script of GRUB's."""
    kernel = snippet.first("linux")
    if kernel is None:
        interpreter.warn(f"blscfg: {printable(snippet.id)} is passed over: it has no linux line")
        return
    environment = interpreter.environment
    options = expand(environment, snippet.first("options"))
    if options is None:
        options = expand(environment, environment.get("default_kernelopts"))
    users = expand(environment, snippet.first("grub_users"))
    title = snippet.first("title")
    title = kernel if title is None else title
    script = [f"linux ($root){kernel} {options or ''}"]
    initrds = [*_early_initrds(environment, snippet, kernel), *snippet.all("initrd")]
    if initrds:
        script.append(" ".join(["initrd", *(f"($root){path}" for path in initrds)]))
    devicetree = _devicetree(environment, snippet, kernel)
    if devicetree:
        script.append(f"devicetree ($root){devicetree}")
    protected = bool(environment.get("superusers"))
    interpreter.menus.add(
        Definition(
            title,
            snippet.id,
            [title, *snippet.all("grub_arg")],
            "".join(f"{line}\n" for line in script),
            snippet.place,
            restricted=protected and users is not None,
            users=user_names(users or ""),
        )
    )


def _early_initrds(environment: Environment, snippet: Snippet, kernel: str) -> list[str]:
    """Return what $early_initrd names, beside the first initial ramdisk or else beside the kernel."""
    early = environment.get("early_initrd")
    if early is None:
        return []
    folder = (snippet.first("initrd") or kernel).rpartition("/")[0]
    return [f"{folder}/{name}" for name in early.split(" ") if name]


def _devicetree(environment: Environment, snippet: Snippet, kernel: str) -> str | None:
    """Return the device tree that the entry names, or $devicetree beside the kernel."""
    named = expand(environment, snippet.first("devicetree"))
    if named is not None:
        return named
    default = expand(environment, environment.get("devicetree"))
    return f"{kernel.rpartition('/')[0]}/{default}" if default else None


def expand(environment: Environment, value: str | None) -> str | None:
    """Replace the variables of a value, each followed by a blank; None when nothing comes of it.

    Text of a single character gets lost before a variable and at the end, and so does a variable of
    a single letter: as in Fedora's GRUB.
    """
    if value is None:
        return None
    expanded: str | None = None
    tokens = list(grammar.load("blscfg_value").parse(Text(value)).tokens())
    for index, token in enumerate(tokens):
        following = tokens[index + 1].type if index + 1 < len(tokens) else ""
        if token.type == "TEXT":
            text = _after_variable(tokens, index)
            if len(text) != 1:
                expanded = (expanded or "") + text
        elif following == "TEXT" or len(token.text) != 2:
            found = environment.get(token.text.removeprefix("$"))
            if found is not None:
                expanded = f"{expanded or ''}{found} "
            if expanded is None and following != "TEXT":
                return None
        if expanded is not None and len(expanded) > limits.GRUB_VARIABLE.value:
            limits.GRUB_VARIABLE.check(len(expanded), "options of an entry")
    return expanded


def _after_variable(tokens: Sequence[Token], index: int) -> str:
    """Return a text without the blank that ends the variable before it."""
    text = tokens[index].text
    return text[1:] if index and text.startswith(" ") else text


_OPTIONS = Options(
    (
        Option("path", "p", takes=True),
        Option("enable-fallback", "f"),
        Option("show-default", "d"),
        Option("show-non-default", "n"),
        Option("entry", "e", takes=True),
    )
)

COMMANDS: dict[str, Command] = dict.fromkeys(("blscfg", "bls_import"), Command(_blscfg, yields=True))
