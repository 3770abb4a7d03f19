"""The answer's forms, judged by readers written from the toolstacks' own rules (LIBXL, xend)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybootcfg.errors import BootcfgError
from pybootcfg.results import Answer, format_answer

SPACES = b" \t\n\v\f\r"


def libxl_reads(data: bytes) -> dict[str, bytes]:
    """Read simple0 as libxl_bootloader.c does: NUL-ended records, a keyword, white space, the rest."""
    found: dict[str, bytes] = {}
    for record in data.split(b"\0"):
        if not record or len(record) >= 2 * 4096:
            continue  # libxl warns and goes on without it
        for keyword in (b"kernel", b"ramdisk", b"args"):
            rest = record[len(keyword) :]
            if record.startswith(keyword) and rest[:1] in tuple(bytes([b]) for b in SPACES):
                found[keyword.decode()] = rest.lstrip(SPACES)
                break
    return found


ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b"\\": 92, b"'": 39, b'"': 34}


def xend_string(data: bytes, at: int) -> tuple[bytes, int]:
    """Read a quoted string of xend's SXP at `at`; return it and the offset behind it."""
    quote, out, at = data[at : at + 1], bytearray(), at + 1
    while data[at : at + 1] != quote:
        if data[at : at + 1] == b"\\":
            code = data[at + 1 : at + 2]
            if code in ESCAPES:
                out.append(ESCAPES[code])
                at += 2
            elif code == b"x":
                out.append(int(data[at + 2 : at + 4], 16))
                at += 4
            else:
                raise ValueError(f"escape {code!r}")
        else:
            out += data[at : at + 1]
            at += 1
    return bytes(out), at + 1


def xend_reads(data: bytes) -> dict[str, bytes]:
    """Read `linux (kernel '…')(args '…')`; anything else is a ValueError."""
    if not data.startswith(b"linux "):
        raise ValueError("no linux")
    at, found = 6, {}
    while at < len(data):
        if data[at : at + 1] != b"(":
            raise ValueError(f"at {at}")
        name, _, _ = data[at + 1 :].partition(b" ")
        value, at = xend_string(data, at + 1 + len(name) + 1)
        if data[at : at + 1] != b")":
            raise ValueError(f"at {at}")
        found[name.decode()] = value
        at += 1
    return found


ANSWER = Answer("/out/boot_kernel.1", "/out/boot_ramdisk.2", "root=/dev/xvda1 ro")


def test_the_forms_byte_for_byte() -> None:
    # PYGRUB_BEHAVIOUR section 3
    assert format_answer(ANSWER, "sxp") == (
        b"linux (kernel '/out/boot_kernel.1')(ramdisk '/out/boot_ramdisk.2')(args 'root=/dev/xvda1 ro')"
    )
    assert format_answer(ANSWER, "simple") == (
        b"kernel /out/boot_kernel.1\nramdisk /out/boot_ramdisk.2\nargs root=/dev/xvda1 ro\n\n"
    )
    assert format_answer(ANSWER, "simple0") == (
        b"kernel /out/boot_kernel.1\0ramdisk /out/boot_ramdisk.2\0args root=/dev/xvda1 ro\0\0"
    )
    assert format_answer(Answer("K", None, None), "simple0") == b"kernel K\0\0"
    assert format_answer(Answer("K", None, "a"), "sxp") == b"linux (kernel 'K')(args 'a')"


@given(st.text(st.characters(min_codepoint=1, max_codepoint=126)))
def test_sxp_quotes_ascii_as_repr_does(args: str) -> None:
    quoted = format_answer(Answer("K", None, args), "sxp").removeprefix(b"linux (kernel 'K')(args ")[:-1]
    assert quoted == repr(args).encode()


@given(st.binary().filter(lambda value: b"\0" not in value))
def test_sxp_comes_back_from_xends_reader(args: bytes) -> None:
    answer = Answer("K", None, args.decode("utf-8", "surrogateescape"))
    assert xend_reads(format_answer(answer, "sxp")) == {"kernel": b"K", "args": args}


@given(st.binary())
def test_simple0_never_forges_a_record(args: bytes) -> None:
    answer = Answer("K", "R", args.decode("utf-8", "surrogateescape"))
    if b"\0" in args or len(args) > 8186:
        with pytest.raises(BootcfgError):
            format_answer(answer, "simple0")
        return
    read = libxl_reads(format_answer(answer, "simple0"))
    assert read == {"kernel": b"K", "ramdisk": b"R", "args": args.lstrip(SPACES)}


XSA_198 = ["x')(ramdisk '/etc/passwd", "x\0ramdisk /etc/passwd", "x\nramdisk /etc/passwd"]


@pytest.mark.parametrize("args", XSA_198)
@pytest.mark.parametrize("form", ["sxp", "simple", "simple0"])
def test_xsa_198(form: str, args: str) -> None:
    try:
        data = format_answer(Answer("K", None, args), form)
    except BootcfgError:
        assert "\0" in args or (form == "simple" and "\n" in args)
        return
    if form == "sxp":
        assert xend_reads(data)["args"] == args.encode()
    elif form == "simple":
        assert data.split(b"\n") == [b"kernel K", b"args " + args.encode(), b"", b""]
    else:
        assert libxl_reads(data) == {"kernel": b"K", "args": args.encode()}


def test_the_longest_args_that_libxl_reads() -> None:
    longest = "a" * 8186
    assert libxl_reads(format_answer(Answer("K", None, longest), "simple0"))["args"] == longest.encode()
    with pytest.raises(BootcfgError, match="8187 bytes"):
        format_answer(Answer("K", None, longest + "a"), "simple0")


def test_json_keeps_what_is_not_utf8() -> None:
    args = b"\xff\xc3\xa9".decode("utf-8", "surrogateescape")
    assert format_answer(Answer("K", None, args), "json") == (
        b'{"schema": 1, "kernel": "K", "ramdisk": null, "args": "\\udcff\\u00e9"}\n'
    )


def test_both_kinds_of_quotes() -> None:
    """As Python's repr: the single quote is escaped where both occur."""
    text = "a'b\"c"
    assert format_answer(Answer("/k", None, text), "sxp").endswith(f"(args {text!r})".encode())


@pytest.mark.parametrize(
    ("form", "args", "words"),
    [
        ("sxp", "a\0b", "the args holds a NUL byte"),
        ("simple", "a\0b", "the args holds a NUL byte"),
        ("simple0", "a\0b", "the args holds a NUL byte"),
        ("simple", "a\nb", "the args holds a newline"),
        ("simple", "a\n\0b", "the args holds a newline"),
        ("simple0", "x" * 8188, "the args is 8188 bytes long; libxl reads at most 8186"),
    ],
)
def test_what_a_form_cannot_hold_is_named(form: str, args: str, words: str) -> None:
    with pytest.raises(BootcfgError) as caught:
        format_answer(Answer("/k", None, args), form)
    assert str(caught.value).startswith(words)


def test_the_longest_arguments_that_libxl_reads() -> None:
    """Its buffer holds 8192 bytes, of which it wants one free (libxl_bootloader.c)."""
    assert libxl_reads(format_answer(Answer("/k", None, "x" * 8186), "simple0"))["args"] == b"x" * 8186


@pytest.mark.parametrize("code", [1, 0x1F, 0x20, 0x7E, 0x7F, 0x80])
def test_what_is_escaped_is_what_python_escapes(code: int) -> None:
    text = chr(code) if code < 0x80 else "\udc80"
    wanted = repr(text).encode() if code < 0x80 else b"'\x80'"
    assert format_answer(Answer("/k", None, text), "sxp") == b"linux (kernel '/k')(args " + wanted + b")"
