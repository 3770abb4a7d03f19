"""Runs what was found, or is kept in tests/corpus/hostile, and says what came of each file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import contract
import registry


def outcome(document: dict[str, Any]) -> contract.Outcome:
    """Run one case under the contract."""
    target = registry.find(document["target"])
    target.run(b"")  # seeds are unpacked and modules imported: the case alone is measured
    return contract.measured(lambda: target.replay(document))


def replay(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield a row for each file: its name, the fault (empty for none), seconds, bytes."""
    contract.limit_memory()
    for file in files:
        document = json.loads(file.read_text())
        yield {"file": file.name, "target": document["target"], **outcome(document)._asdict()}


def minimised(document: dict[str, Any]) -> dict[str, Any]:
    """Return the smallest case found that has the same fault."""
    fault = outcome(document).fault
    if not fault:
        return document
    key, parts = ("edits", document["edits"]) if "edits" in document else ("text", list(document["text"]))

    def case(kept: Sequence[Any]) -> dict[str, Any]:
        return {**document, "fault": fault, key: "".join(kept) if key == "text" else list(kept)}

    size = max(1, len(parts) // 2)
    while True:
        at, before = 0, len(parts)
        while at < len(parts):
            fewer = parts[:at] + parts[at + size :]
            if outcome(case(fewer)).fault == fault:
                parts = fewer
            else:
                at += size
        if size == 1 and len(parts) == before:
            break
        size = max(1, size // 2)
    small = case(parts)
    for name in ("size", "flags"):
        if name in small and outcome({**small, name: None if name == "size" else 0}).fault == fault:
            small[name] = None if name == "size" else 0
    return small
