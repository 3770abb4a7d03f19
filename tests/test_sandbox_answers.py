"""Whatever a hijacked reader answers: its parent writes a valid result, or nothing and one line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
from pathlib import Path

import pytest
from hijack import hijacked, make_stage
from hypothesis import given, settings
from hypothesis import strategies as st

from pybootcfg import limits
from pybootcfg.cli import record, supervision
from pybootcfg.cli.record import Copied, Document, Failed, Listed, Named, Nonsense, Ready, Unprepared
from pybootcfg.errors import BootcfgError


def said(*parts: str) -> bytes:
    return "\0".join(parts).encode("utf-8", "surrogateescape")


VALID = said("Copied", "+6", "-", "+a=1", "+0")


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    return make_stage(tmp_path)


def packed(body: bytes) -> bytes:
    return b"%11d\n" % len(body) + body


#: a reader that wrote six bytes of kernel, sends bytes of its own, and ends with a status of its own
ATTACK = """
import stat
def attack(task):
    os.write(task.kernel, b"KERNEL")
    os.write(1, b"forged result")
    os.write(2, b"\\x1b]0;forged message")
    pipe = next(fd for fd in range(3, 64) if is_pipe(fd))
    data = {data!r}
    while data:
        data = data[os.write(pipe, data):]
    os._exit({status})

def is_pipe(fd):
    try:
        os.lseek(fd, 0, os.SEEK_CUR)
    except OSError as error:
        return error.errno == errno.ESPIPE
    return False
"""

MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "half a length": b"      ",
    "no number": b"abcdefghijk\n",
    "a negative number": b"         -5\n",
    "a number with a sign": b"         +2\n",
    "a number in other digits": "         \uff12\n".encode(),
    "a huge number": b"99999999999\n",
    "more than there is": b"       1000\nCopied",
    "no newline": b"           2{}",
    "no fields": packed(b"kernel /etc/passwd"),
    "an empty record": packed(b""),
    "bytes that are no text": packed(b"\xff\xfe"),
    "NUL bytes": packed(b"\0" * 10_000),
    "a kind in other letters": packed(said("copied", "+6", "-", "+a=1", "+0")),
    "an unknown kind": packed(said("Exec", "+6", "-", "+a=1", "+0")),
    "half of a record": packed(said("Copied", "+6")),
    "one field too few": packed(said("Copied", "+6", "-", "+0")),
    "one field too many": packed(said("Copied", "+6", "-", "+a=1", "+0", "+/etc/passwd")),
    "fields that are neither there nor not": packed(said("Copied", "6", "", "a=1", "0")),
    "a kernel that is a path": packed(said("Copied", "+/etc/passwd", "-", "+a=1", "+0")),
    "a kernel that is a fraction": packed(said("Copied", "+6.0", "-", "+a=1", "+0")),
    "a kernel that is negative": packed(said("Copied", "+-6", "-", "+a=1", "+0")),
    "a kernel in other digits": packed(said("Copied", "+\uff16", "-", "+a=1", "+0")),
    "a kernel with a line break": packed(said("Copied", "+6\n", "-", "+a=1", "+0")),
    "no kernel": packed(said("Copied", "-", "-", "+a=1", "+0")),
    "an empty kernel": packed(said("Copied", "+0", "-", "+a=1", "+0")),
    "a kernel of another size": packed(said("Copied", "+7", "-", "+a=1", "+0")),
    "a kernel of a huge size": packed(said("Copied", f"+{1 << 63}", "-", "+a=1", "+0")),
    "a long number": packed(said("Copied", "+" + "9" * 10_000, "-", "+a=1", "+0")),
    "a ramdisk that is not there": packed(said("Copied", "+6", "+6", "+a=1", "+0")),
    "an empty ramdisk": packed(said("Copied", "+6", "+0", "+a=1", "+0")),
    "arguments with a NUL": packed(said("Copied", "+6", "-", "+a\0ramdisk /etc/passwd", "+0")),
    "arguments without end": packed(said("Copied", "+6", "-", "+" + "x" * 70_000, "+0")),
    "remarks that are not counted": packed(said("Copied", "+6", "-", "+a=1", "x")),
    "fewer remarks than counted": packed(said("Copied", "+6", "-", "+a=1", "+2", "x")),
    "more remarks than there are numbers": packed(said("Copied", "+6", "-", "+a=1", "+" + "9" * 19, "x")),
    "too many remarks": packed(said("Copied", "+6", "-", "+a=1", "+301", *["x"] * 301)),
    "an answer to another question": packed(said("Listed", "+1", "kernel /etc/passwd", "+0")),
    "a name": packed(said("Named", "+/etc/passwd", "-", "-", "+0")),
    "a document": packed(said("Document", '+{"schema": 1}', "+0")),
    "a document that is none": packed(said("Document", "+[1", "+0")),
    "a document of great depth": packed(said("Document", "+" + "[" * 60_000, "+0")),
    "ready once more": packed(said("Ready", "+0")),
    "two answers": packed(VALID) + packed(VALID),
    "more behind the answer": packed(VALID) + b"x",
    "modules without end": packed(said("Unprepared", "+os")),
    "a failure": packed(said("Failed", "+\x1b[2J\nkernel /etc/passwd", "+1", "\x1b[31m\r\n")),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_answers(stage: Path, name: str) -> None:
    done = hijacked(
        stage, ATTACK.format(data=MALFORMED[name], status=name in ("a failure", "modules without end"))
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "forged" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("RuntimeError: ")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", done.stderr)
    assert "Traceback" not in done.stderr
    assert list((stage / "out").iterdir()) == []


@pytest.mark.parametrize("status", [1, 3])
def test_a_good_answer_with_a_bad_end(stage: Path, status: int) -> None:
    done = hijacked(stage, ATTACK.format(data=packed(VALID), status=status))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"ended with status {status}" in done.stderr
    assert list((stage / "out").iterdir()) == []


def test_a_failure_that_ends_well(stage: Path) -> None:
    done = hijacked(stage, ATTACK.format(data=packed(said("Failed", "+x", "+0")), status=0))
    assert (done.returncode, done.stdout) == (1, "")


def test_no_wait_for_the_reader_is_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody looks at the menu pygrub waits; a signal that comes just before is seen in time."""
    pipe, answering = os.pipe()
    waits: list[float] = []

    class Poll:
        def register(self, descriptor: int, _events: int) -> None:
            assert descriptor == pipe

        def poll(self, milliseconds: float) -> list[tuple[int, int]]:
            waits.append(milliseconds)
            if len(waits) < 3:
                return []
            os.write(answering, b"said")
            return [(pipe, select.POLLIN)]

    monkeypatch.setattr(select, "poll", Poll)
    reader = object.__new__(supervision.Reader)
    reader._pipe, reader._deadline = pipe, None
    try:
        assert reader._read(4) == b"said"
    finally:
        os.close(pipe)
        os.close(answering)
    assert waits == [1000] * 3


def test_a_reader_that_stays(stage: Path) -> None:
    """It answers and closes the pipe, but does not end, and could still write to its files."""
    attack = ATTACK.format(data=packed(VALID), status=0).replace(
        "    os._exit", "    os.close(pipe)\n    import time; time.sleep(60)\n    os._exit"
    )
    done = hijacked(stage, attack)
    assert (done.returncode, done.stdout) == (1, "")
    assert "fallen silent" in done.stderr
    attack = attack.replace("os.close(pipe)", "pass")
    done = hijacked(stage, attack)
    assert (done.returncode, done.stdout) == (1, "")
    assert "did not answer in time" in done.stderr


@pytest.mark.parametrize("form", ["sxp", "simple", "simple0", "json"])
def test_the_most_that_a_hijacked_reader_gets(stage: Path, form: str) -> None:
    """Its own bytes as the kernel, and arguments; the path is made by the parent."""
    value = said("Copied", "+6", "-", "+a')(ramdisk '/etc/passwd", "+1", "\x1b[2J says\nthe guest")
    done = hijacked(stage, ATTACK.format(data=packed(value), status=0), f"--output-format={form}")
    assert done.returncode == 0, done.stderr
    (kernel,) = (stage / "out").iterdir()
    assert kernel.read_bytes() == b"KERNEL"
    expected = {
        "sxp": f"linux (kernel '{kernel}')(args \"a')(ramdisk '/etc/passwd\")",
        "simple": f"kernel {kernel}\nargs a')(ramdisk '/etc/passwd\n\n",
        "simple0": f"kernel {kernel}\0args a')(ramdisk '/etc/passwd\0\0",
        "json": json.dumps(
            {"schema": 1, "kernel": str(kernel), "ramdisk": None, "args": "a')(ramdisk '/etc/passwd"}
        )
        + "\n",
    }
    assert done.stdout == expected[form]
    assert done.stderr == "\\x1b[2J says\\nthe guest\n"


@pytest.mark.parametrize("form", ["simple", "simple0"])
def test_a_hijacked_reader_forges_no_record(stage: Path, form: str) -> None:
    """XSA-198, with the guest's text coming from an attacker's own hand."""
    value = said("Copied", "+6", "-", "+a\nramdisk /etc/passwd\n\nkernel /etc/shadow", "+0")
    done = hijacked(stage, ATTACK.format(data=packed(value), status=0), f"--output-format={form}")
    if form == "simple":
        assert (done.returncode, done.stdout) == (1, "")
        assert list((stage / "out").iterdir()) == []
    else:
        assert len(done.stdout.split("\0")) == 4


# --- the check by itself, over many more answers -----------------------------------------------------------

PARTS = st.sampled_from(["-", "+", "+0", "+1", "+2", "+6", "+a", '+{"schema": 1}', "x"]) | st.text(
    max_size=20
)
KINDS = ["Ready", "Copied", "Named", "Listed", "Document", "Failed", "Unprepared"]


def assert_sound(said: record.Record) -> None:
    if isinstance(said, Copied):
        assert type(said.kernel) is int
        assert said.kernel > 0
        assert said.ramdisk is None or (type(said.ramdisk) is int and said.ramdisk > 0)
    if isinstance(said, Copied | Named):
        assert said.args is None or "\0" not in said.args
        (said.args or "").encode("utf-8", "surrogateescape")
    if isinstance(said, Document):
        assert said.value["schema"] == 1
    if isinstance(said, Unprepared):
        assert isinstance(said.module, str)
        return
    lines = said.missing if isinstance(said, Ready) else said.remarks
    lines = [*lines, *(said.lines if isinstance(said, Listed) else [])]
    for line in [*lines, *([said.why] if isinstance(said, Failed) else [])]:
        assert isinstance(line, str)


@pytest.mark.no_cover
@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(KINDS), st.lists(PARTS, max_size=7))
def test_any_fields(kind: str, parts: list[str]) -> None:
    with contextlib.suppress(Nonsense):
        assert_sound(record.unpack("\0".join([kind, *parts]).encode("utf-8", "replace")))


@pytest.mark.no_cover
@settings(max_examples=2000, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 100), st.binary(max_size=4))
def test_any_bytes(noise: bytes, at: int, patch: bytes) -> None:
    for body in (noise, VALID[:at] + patch + VALID[at + len(patch) :]):
        with contextlib.suppress(Nonsense):
            assert_sound(record.unpack(body))
        with contextlib.suppress(Nonsense):
            assert 0 <= record.length(body[: record.PREFIX], limits.ANSWER_SIZE) <= limits.ANSWER_SIZE.value


@settings(max_examples=200, deadline=None)
@given(
    st.text(
        st.characters(codec="utf-8", exclude_characters="\0")
        | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
    ),
    st.lists(st.text(max_size=50), max_size=3),
    st.integers(1, 1 << 40),
)
def test_what_an_honest_reader_says_arrives(args: str, remarks: list[str], size: int) -> None:
    for said in (Copied(size, None, args, remarks), Named("/k", args, None, remarks), Failed(args, remarks)):
        data = record.pack(said)
        head, body = data[: record.PREFIX], data[record.PREFIX :]
        assert record.length(head, limits.ANSWER_SIZE) == len(body)
        arrived = record.unpack(body)
        assert type(arrived) is type(said)
        if isinstance(arrived, Copied):
            assert arrived.args == args


def test_an_honest_reader_keeps_within_the_limits() -> None:
    loud = Failed("\U0001f600" * 10_000, ["\U0001f600" * 10_000] * 1000)
    data = record.pack(loud)
    assert record.length(data[: record.PREFIX], limits.ANSWER_SIZE) < limits.ANSWER_SIZE.value
    arrived = record.unpack(data[record.PREFIX :])
    assert len(arrived.remarks) == limits.REMARKS.value  # type: ignore[union-attr]


@pytest.mark.parametrize("args", ["a\0b", "a\ud800b"])
def test_what_no_answer_can_hold_is_refused(args: str) -> None:
    with pytest.raises(BootcfgError):
        record.pack(Copied(6, None, args, []))
