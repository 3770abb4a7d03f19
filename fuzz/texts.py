"""Targets that are texts: one per dialect, and what a conquered reader may answer its parent."""

from __future__ import annotations

import contextlib
import itertools
import json
import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lark
import seeds
from front_door import Broken, contained

from pybootcfg import choose, grammar, grammars, limits
from pybootcfg.boot import Request, boot_menu
from pybootcfg.cli import record
from pybootcfg.cli.listing import list_entries, menu_json
from pybootcfg.dialects.base import Settings
from pybootcfg.dialects.grub2 import commands
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Configuration, Disk, Guest
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef
from pybootcfg.places.syntax import syntax_tree
from pybootcfg.results import FORMATS, Answer, dump_json, format_answer
from pybootcfg.volumes import read_table

CORPUS = seeds.ROOT / "tests/corpus"

#: what separates the files that one input holds; the first is the configuration
SEPARATOR = b"\n%%%%\n"


class TextGuest(Guest):
    """The disk of examples/ with files that the input brings along, which can also be listed."""

    def __init__(self, files: dict[str, bytes]) -> None:
        limits.begin()
        source = seeds.load("examples/sample.img.xz").sources()[0]
        super().__init__([Disk(1, source, read_table(source))], Options())
        self.loose = {FileRef(path, self.listed[0].name): text for path, text in files.items()}

    def names(self, folder: FileRef) -> Sequence[str]:
        """Return the names in a directory, those of the input's files too."""
        start = folder.path.rstrip("/") + "/"
        own = [file.path.removeprefix(start) for file in self.loose if file.path.startswith(start)]
        with contained:
            return [*super().names(folder), *(name for name in own if "/" not in name)]
        return [name for name in own if "/" not in name]

    def kind(self, file: FileRef) -> Kind | None:
        """Return what a path names, the directories of the input's files included."""
        start = file.path.rstrip("/") + "/"
        if any(known.path.startswith(start) for known in self.loose):
            return Kind.DIRECTORY
        return super().kind(file)


class TextTarget:
    """One dialect: `paths` are where the files of an input lie; the configuration is `config`."""

    longest = 4096
    structured = False

    def __init__(
        self, name: str, dialect: str, paths: Sequence[str], grammars: Sequence[str], config: str = ""
    ) -> None:
        self.name = name
        self.dialect = dialect
        self.paths = paths
        self.grammars = grammars
        self.config = config or paths[0]

    def prepare(self) -> None:
        """Unpack what the texts stand on."""
        self.run(b"")

    def starts(self) -> list[bytes]:
        """Return the configurations of tests/corpus."""
        return [text[: self.longest] for text in itertools.islice(_samples(self.name), 200)]

    def dictionary(self) -> list[bytes]:
        """Return the words of the grammars, and of the commands that are looked up by name."""
        words = [word for name in self.grammars for word in terminals(name)]
        if self.dialect == "grub2":
            words += [name.encode() for name in commands.names()]
        return [*dict.fromkeys([*words, SEPARATOR, *(path.encode() for path in self.paths)])]

    def document(self, data: bytes) -> dict[str, Any]:
        """Return an input as it is kept in tests/corpus/hostile."""
        return {"text": data.decode("utf-8", "surrogateescape")}

    def replay(self, document: dict[str, Any]) -> None:
        """Do what is kept in tests/corpus/hostile: a text, or pieces with how often each is repeated."""
        text = document["text"]
        if isinstance(text, list):
            text = "".join(piece * times for piece, times in text)
        self.run(text.encode("utf-8", "surrogateescape"))

    def run(self, data: bytes) -> None:
        """Make a menu of the texts and boot it; raises for a fault only."""
        guest = TextGuest(dict(zip(self.paths, data.split(SEPARATOR), strict=False)))
        volume = guest.listed[0].name
        config = FileRef(self.config, volume)
        with contained:
            menu = guest.interpret(Configuration(self.dialect, config), Settings())
            dump_json(menu_json(menu))
            list_entries(menu)
            for wanted in (None, "0", "a>b"):
                with contained:
                    choose.choose(menu, wanted)
            with contained:
                answer(boot_menu(guest, menu, Request(args="more")).args)
        if data:
            syntax_tree(data.split(SEPARATOR)[0], self.dialect, self.config)


def answer(args: str) -> None:
    """Word an answer in every form, and read it back."""
    for form in FORMATS:
        with contextlib.suppress(BootcfgError):
            said = format_answer(Answer("/kernel", None, args), form)
            if form == "json" and json.loads(said)["args"] != args:
                raise Broken("JSON does not give back the arguments")
            data = args.encode("utf-8", "surrogateescape")
            if form == "simple0" and said.split(b"\0")[1] != b"args " + data:
                raise Broken("simple0 does not give back the arguments")
            if form == "sxp" and sxp_args(said.decode("utf-8", "surrogateescape")) != args:
                raise Broken("sxp does not give back the arguments")


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "v": "\v", "f": "\f"}


def sxp_args(text: str) -> str:
    """Return the arguments in an answer, as xend reads it."""
    *_, args = grammar.load("sxp").parse(grammar.Text(text)).trees()
    name, value = args.trees()
    if (args.data, name.data, value.data) != ("list", "atom", "string"):
        raise Broken(f"sxp holds {args!r}")
    return "".join(map(_unescaped, value.tokens()))


def _unescaped(token: grammar.Token) -> str:
    rest = token.text[1:]
    if token.type == "ESCAPE":
        return _ESCAPES.get(rest, rest)
    if token.type in ("OCTAL", "HEXADECIMAL"):
        return chr(int(rest.lstrip("x"), 8 if token.type == "OCTAL" else 16))
    return token.text


class SxpTarget(TextTarget):
    """S-expressions: an answer with any arguments is read back as it was; any text is read or refused."""

    def run(self, data: bytes) -> None:
        """Word the input, and read it."""
        text = data.decode("utf-8", "surrogateescape")
        answer(text)
        with contained:
            grammar.load("sxp").parse(grammar.Text(text))


class RecordTarget(TextTarget):
    """What goes through the pipe from the reader: a record or `Nonsense`, whatever it is."""

    def run(self, data: bytes) -> None:
        """Take the input for an answer."""
        with contained:
            record.length(data[: record.PREFIX], limits.ANSWER_SIZE)
        for body in (data, data[record.PREFIX :]):
            with contained:
                said = record.unpack(body)
                again = record.pack(said)[record.PREFIX :]
                if type(record.unpack(again)) is not type(said):
                    raise Broken("a record that does not survive")


def terminals(name: str) -> Iterator[bytes]:
    """Yield the words of a grammar: terminals that are strings, and the signs in the others."""
    text = (Path(grammars.__path__[0]) / f"{name}.lark").read_text()
    for terminal in lark.Lark(text, parser="lalr").terminals:
        if terminal.pattern.type == "str":
            yield terminal.pattern.value.encode()
        else:
            signs = filter(str.isprintable, terminal.pattern.value)
            yield from (sign.encode() for sign in signs if not sign.isalnum())


# --- seeds -----------------------------------------------------------------------------------------


def _files(*patterns: str) -> Iterator[bytes]:
    for pattern in patterns:
        for path in sorted(CORPUS.glob(pattern)):
            yield path.read_bytes()


def _strings(value: object) -> Iterator[str]:
    """Yield the longer texts inside a JSON document."""
    if isinstance(value, str):
        if len(value) > 8:
            yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def _texts_in(*names: str) -> Iterator[bytes]:
    for name in names:
        data = Path(CORPUS, name).read_bytes()
        data = lzma.decompress(data) if name.endswith(".xz") else data
        for text in _strings(json.loads(data)):
            yield text.encode("utf-8", "surrogateescape")


_BLOCK = b"# GRUB Environment Block\nsaved_entry=0\nnext_entry=\nkernelopts=root=UUID=1 ro\n"
_ANSWER = b"linux (kernel '/k')(ramdisk \"/r\")(args 'a=\\'b\\x41\\101')"
_ENTRIES = (
    b"default b*\ntimeout 3\n",
    b"title A\nversion 6.1\nlinux /boot/vmlinuz\ninitrd /boot/initrd.img\noptions ro quiet\n",
    b"title B\nsort-key b\nmachine-id 0123456789abcdef\nlinux /boot/vmlinuz\n",
)

_SAMPLES: dict[str, Callable[[], Iterator[bytes]]] = {
    "grub2": lambda: _texts_in("grub2/menus.json", "grub2/scripts.json", "grub2/syntax.json.xz"),
    "grub_legacy": lambda: _files("grub_legacy/*"),
    "lilo": lambda: _files("lilo/*"),
    "syslinux": lambda: itertools.chain(_files("syslinux/live/isolinux/*"), _texts_in("syslinux/cases.json")),
    "bls": lambda: itertools.chain(iter([SEPARATOR.join(_ENTRIES)]), _texts_in("bls/bootctl.json")),
    "grubenv": lambda: iter([_BLOCK.ljust(1024, b"#"), _BLOCK, _BLOCK + b"a=\\\\b\\\nc\n#"]),
    "sxp": lambda: iter([_ANSWER, b"a 'b' \"c\\q\" ; # d\n(e)"]),
    "record": lambda: iter(
        [
            record.pack(said)
            for said in (
                record.Ready(["Landlock: no"]),
                record.Copied(1, None, "ro", ["x"]),
                record.Named("/k", "/r", None, []),
                record.Listed(["a"], []),
                record.Document({"schema": 1}, []),
                record.Failed("why", []),
            )
        ]
    ),
}


def _samples(name: str) -> Iterator[bytes]:
    return _SAMPLES[name]()


#: a configuration that has all done with an environment block that can be
_WITH_ENVIRONMENT = b"""load_env -f /grubenv
save_env -f /grubenv saved_entry kernelopts
list_env -f /grubenv
set default="$saved_entry"
menuentry "$saved_entry" $kernelopts { linux /boot/vmlinuz $kernelopts; }
blscfg
"""


class EnvironmentTarget(TextTarget):
    """GRUB's environment block, in the hands of a configuration that loads, saves and lists it."""

    def run(self, data: bytes) -> None:
        """Let the input be the block."""
        super().run(_WITH_ENVIRONMENT + SEPARATOR + data)


TARGETS = [
    TextTarget(
        "grub2",
        "grub2",
        ("/boot/grub/grub.cfg", "/a.cfg", "/loader/entries/a.conf", "/boot/grub/grubenv"),
        ("grub2", "grub2_word", "blscfg", "blscfg_value", "grubenv"),
    ),
    TextTarget("grub_legacy", "grub_legacy", ("/boot/grub/menu.lst", "/a.lst"), ("grub_legacy",)),
    TextTarget("lilo", "lilo", ("/etc/lilo.conf", "/a.conf"), ("lilo", "lilo_word")),
    TextTarget("syslinux", "syslinux", ("/isolinux/isolinux.cfg", "/isolinux/a.cfg"), ("syslinux",)),
    TextTarget(
        "bls",
        "bls",
        ("/loader/loader.conf", "/loader/entries/a.conf", "/loader/entries/b+3-1.conf", "/etc/os-release"),
        ("bls", "os_release"),
    ),
    EnvironmentTarget("grubenv", "grub2", ("/boot/grub/grub.cfg", "/grubenv"), ("grubenv",)),
    SxpTarget("sxp", "", ("",), ("sxp",)),
    RecordTarget("record", "", ("",), ()),
]
