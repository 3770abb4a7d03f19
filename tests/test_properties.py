"""What holds for any input: of every schema there is, of every grammar there is, of a small disk."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import lzma
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import construct
import lark
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.lark import from_lark
from memory_machine import MemoryMachine

from pybootcfg import dialects, formats, grammar, grammars, schema, tables
from pybootcfg.boot import Request, find_boot
from pybootcfg.cli.listing import menu_json
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import BootcfgError, ConfigError, ImageError
from pybootcfg.filesystems.base import Node
from pybootcfg.guest import Guest
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef
from pybootcfg.results import dump_json
from pybootcfg.source import MemorySource
from pybootcfg.variable import plain, resolve

CORPUS = Path(__file__).parent / "corpus"

# --- schemas -----------------------------------------------------------------------------------------


def decoders(module: str) -> Iterator[schema.Decoder]:
    """Every schema of a module of formats/, in both byte orders."""
    for name, value in vars(importlib.import_module(f"pybootcfg.formats.{module}")).items():
        if isinstance(value, construct.Construct):
            decoder: schema.Decoder = getattr(schema.load(module), name)
            yield from (decoder.little, decoder.big)


def comparable(value: Any) -> Any:
    """Return a record as nested tuples, without padding."""
    if isinstance(value, dict):
        return tuple(comparable(part) for part in value.values() if part is not None)
    return tuple(map(comparable, value)) if isinstance(value, tuple | list) else value


@pytest.mark.no_cover
@pytest.mark.parametrize("module", [module.name for module in pkgutil.iter_modules(formats.__path__)])
@settings(max_examples=10, deadline=None)
@given(noise=st.binary(min_size=1, max_size=32), length=st.integers(0, 300))
def test_every_schema_decodes_and_builds_as_construct_does(module: str, noise: bytes, length: int) -> None:
    for decoder in decoders(module):
        resolved = resolve(decoder.schema, decoder.order)
        try:
            size = decoder.size
        except TypeError:  # of no fixed size: a value, or damage in a place
            with contextlib.suppress(ImageError):
                decoder.decode(shake(noise, length))
            continue
        raw = shake(noise, size)
        try:
            expected = resolved.parse(raw)
        except construct.ConstructError:  # a constant has another value
            with pytest.raises(ImageError):
                decoder.decode(raw)
            continue
        assert comparable(decoder.decode(raw)) == comparable(plain(expected)), decoder.name
        built = resolved.build(expected)  # without the bits of flags that have no name
        assert resolved.build(resolved.parse(built)) == built
        assert comparable(decoder.decode(built)) == comparable(plain(resolved.parse(built))), decoder.name


def shake(noise: bytes, size: int) -> bytes:
    """Return bytes of any kind, as many as are needed."""
    return hashlib.shake_128(noise).digest(size)


# --- grammars ----------------------------------------------------------------------------------------

DIALECT_OF = {
    "grub2": "grub2",
    "grub_legacy": "grub_legacy",
    "lilo": "lilo",
    "syslinux": "syslinux",
    "bls": "bls",
}
PLACES = {
    "grub2": "/boot/grub/grub.cfg",
    "grub_legacy": "/boot/grub/menu.lst",
    "lilo": "/etc/lilo.conf",
    "syslinux": "/syslinux.cfg",
    "bls": "/loader/loader.conf",
}


def sentences(name: str) -> st.SearchStrategy[str]:
    """Texts that the rules of grammars/NAME.lark make; the scanner may still take them otherwise."""
    text = (Path(grammars.__path__[0]) / f"{name}.lark").read_text()
    alphabet = st.characters(codec="utf-8", max_codepoint=0x17F)
    return from_lark(lark.Lark(text, parser="lalr", maybe_placeholders=False), alphabet=alphabet)


def menu_of(name: str, text: str) -> bytes:
    """Return the menu of a configuration as JSON."""
    files = {PLACES[name]: text, "/loader/entries/a.conf": text, "/k": "x", "/i": "x"}
    menu = dialects.load(name)(MemoryMachine(files), FileRef(PLACES[name]), Settings())
    return dump_json(menu_json(menu))


def ends_well(name: str, text: str) -> None:
    """Hold that a configuration makes a menu or an error of ours, and the same one twice."""
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(menu_of(name, text))
        except BootcfgError as error:
            outcomes.append(str(error).encode("utf-8", "surrogateescape"))
    assert outcomes[0] == outcomes[1]


@pytest.mark.no_cover
@pytest.mark.parametrize("name", PLACES)
def test_what_a_grammar_makes_is_a_menu_or_an_error(name: str) -> None:
    examples = 10 if name == "grub2" else 60  # its words are slow to make

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(sentences(name))
    def check(text: str) -> None:
        ends_well(name, text)

    check()


WORDS = {
    "grub2": """
        menuentry submenu if then elif else fi for in do done while until function set export
        linux initrd search source configfile load_env [ ] test echo eval regexp --set -f =
        != a b $a ${a} "$a" '' { } ; ( ) | && shift default=1 timeout=x return break
        continue unset loopback blscfg multiboot2 module2 chainloader 9999999999
    """,
    "syslinux": """
        label kernel append initrd default timeout include menu begin end title hide separator goto exit
        com32 ifcpu64.c32 -- + - config localboot ui ontimeout say text help endtext fdt 0x7fffffff # a b
    """,
    "lilo": """
        image= other= label= append= " \\ $ ${ = root= initrd= default= include= # read-only a b /k
        literal= alias=
    """,
    "grub_legacy": """
        title kernel module initrd root (hd0,0) (hd0 default fallback saved savedefault configfile find
        uuid map password --md5 lock hiddenmenu = \\ # /k a 0x 99999999999 chainloader +1 boot
    """,
    "bls": """
        title linux initrd options version machine-id sort-key architecture efi uki profile devicetree #
        default timeout @saved * [ ] a /k menu-force
    """,
}


@pytest.mark.parametrize("name", WORDS)
def test_words_in_any_order_are_a_menu_or_an_error(name: str) -> None:
    glue = st.sampled_from([" ", " ", "\n", "\n", "\t", "", "\\\n", "\r\n"])
    words = st.lists(st.tuples(st.sampled_from(WORDS[name].split()), glue), max_size=40)

    @settings(max_examples=150, deadline=None)
    @given(words)
    def check(pieces: list[tuple[str, str]]) -> None:
        ends_well(name, "".join(word + end for word, end in pieces))

    check()


@pytest.mark.parametrize("name", tables.names())
@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("ab= \t\n\\\"'${}()#<>[];|&,0xé\0\udcff")))
def test_any_text_is_a_tree_or_a_mistake_in_a_place(name: str, text: str) -> None:
    with contextlib.suppress(ConfigError):
        grammar.load(name).parse(grammar.Text(text, "file"))


# --- disks -------------------------------------------------------------------------------------------

IMAGES = ("fat/fat12", "ufs/ufs2-le", "ext/ext2-1k")


@pytest.mark.no_cover
@pytest.mark.parametrize("name", IMAGES)
def test_any_bytes_in_a_disk_s_first_sectors(name: str) -> None:
    seed = lzma.decompress((CORPUS / f"{name}.img.xz").read_bytes())
    head = 72 << 10

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, head), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)
    )
    def check(changes: list[tuple[int, bytes]]) -> None:
        disk = bytearray(seed)
        for at, data in changes:
            disk[at : at + len(data)] = data
        guest = Guest.of_sources([MemorySource(bytes(disk[: len(seed)]), "disk")])
        for volume in guest.listed:
            if volume.mountable:
                walk(volume.mountable.root, 30)
        with contextlib.suppress(BootcfgError):
            find_boot(guest, Request())

    check()


def walk(node: Node, budget: int) -> int:
    """Look at some nodes and read the first bytes of each."""
    with contextlib.suppress(BootcfgError):
        for _, child in node.entries():
            budget -= 1
            if budget <= 0:
                break
            if child.kind is Kind.DIRECTORY:
                budget = walk(child, budget)
            elif child.kind is Kind.FILE:
                assert len(child.read(count=100)) == min(child.size, 100)
    return budget
