"""Images of the project with a few bytes changed, each change chosen since it leads where no other test goes.

What has to come of them is an answer or an error of ours, in time.  In pools the bytes are those of a block
after its checksum was found right, as whoever makes the pool can have it; a block goes by the hash of its
contents.
"""

from __future__ import annotations

import functools
import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from clock import seconds_used
from exercise import outcome
from zfs_image import Patched

from pybootcfg.filesystems.zfs import block, compression
from pybootcfg.source import MemorySource, Source

CORPUS = Path(__file__).parent / "corpus"
CASES: list[dict[str, Any]] = json.loads((CORPUS / "changed_bytes.json").read_text())
SECONDS = 10


@functools.cache
def disks(name: str) -> tuple[MemorySource, ...]:
    files = [
        file for file in sorted(CORPUS.glob(f"{name}.*.xz")) if ".img" in file.name or ".iso" in file.name
    ]
    return tuple(MemorySource(lzma.decompress(file.read_bytes()), file.name) for file in files)


def name_of(case: dict[str, Any]) -> str:
    return f"{case['image']}-{case.get('block', '')}-{case['at']:#x}-{case['bytes']}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_changed_bytes_end_in_an_answer_or_an_error(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[Source] = [*disks(case["image"])]
    at, changed = case["at"], bytes.fromhex(case["bytes"])
    if case["image"].startswith("zfs"):
        original = compression.decompress

        def decompress(function: int, data: bytes, size: int) -> bytes:
            plain = bytearray(original(function, data, size))
            if hashlib.sha256(plain).hexdigest().startswith(case.get("block", "none")):
                plain[at : at + len(changed)] = changed
            return bytes(plain[:size])

        monkeypatch.setattr(compression, "decompress", decompress)
        monkeypatch.setattr(block.BlockReader, "_right", lambda *_: True)
    if "block" not in case:
        sources[0] = Patched(sources[0], {at: changed})
    before = seconds_used()
    for text in outcome(sources):
        assert text
    assert seconds_used() - before < SECONDS
