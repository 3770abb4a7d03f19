"""`python fuzz [TARGET...]`: run every target for a while, print what was done and what was found.

With --replay the arguments are kept cases instead, and what comes of each is printed as a line of
JSON; with --minimise they are made smaller, in place.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """What one target came to."""

    target: str
    executions: int
    rate: int  #: executions per second of processor time
    coverage: int
    features: int
    found: int


def main() -> int:
    """Run the command; the exit status is 1 when something was found."""
    options = _parser().parse_args()
    if options.one:
        import target

        target.main(options.targets[0], options.work, options.seconds)
    if options.replay:
        import replay

        rows = 0
        for row in replay.replay([Path(name) for name in options.targets]):
            print(json.dumps(row), flush=True)
            rows += bool(row["fault"])
        return int(rows > 0)
    if options.minimise:
        return _minimise([Path(name) for name in options.targets])
    import registry

    rows_of = [_fuzz(name, options) for name in options.targets or registry.TARGETS]
    print(_table(rows_of, options.seconds))
    return int(any(row.found for row in rows_of))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--work", type=Path, default=Path(".fuzz"), help="where inputs and findings are kept")
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--minimise", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    return parser


def _minimise(files: list[Path]) -> int:
    import contract
    import replay

    contract.limit_memory()
    for file in files:
        small = replay.minimised(json.loads(file.read_text()))
        file.write_text(json.dumps(small, indent=1) + "\n")
        print(f"{file}: {small['fault']}")
    return 0


def _fuzz(name: str, options: argparse.Namespace) -> Row:
    """Run one target in a process of its own."""
    command = [sys.executable, str(Path(__file__).parent), "--one", "--work", str(options.work)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command += ["--seconds", str(options.seconds), name]
    # libFuzzer ends the process at once, so that what it has unpacked is taken away here.
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        environment = {**os.environ, "TMPDIR": folder}
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    processor = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    options.work.mkdir(exist_ok=True)
    (options.work / f"{name}.log").write_text(done.stderr)
    status = re.findall(r"cov: (\d+) ft: (\d+)", done.stderr)
    numbers = dict(re.findall(r"^stat::(\w+):\s+(\d+)", done.stderr, re.MULTILINE))
    if not numbers:
        print(done.stderr[-3000:], file=sys.stderr)
    found = sorted(
        path.stem
        for path in (options.work / "findings" / name).glob("*.json")
        if not path.name.startswith("slowest-")
    )
    row = Row(
        name,
        int(numbers.get("number_of_executed_units", 0)),
        round(int(numbers.get("number_of_executed_units", 0)) / max(processor, 1)),
        *(map(int, status[-1]) if status else (0, 0)),
        found=len(found) + (not numbers),
    )
    print(_line(row), *found, flush=True)
    return row


def _line(row: Row) -> str:
    return f"| {row.target} | " + " | ".join(f"{number:,}" for number in row[1:]) + " |"


def _table(rows: list[Row], seconds: int) -> str:
    head = "| target | executions | per CPU second | edges | features | faults |\n|---|--:|--:|--:|--:|--:|"
    total = sum(row.executions for row in rows)
    lines = [head, *map(_line, rows)]
    return "\n".join([*lines, "", f"{total:,} executions, {seconds} seconds for each of {len(rows)} targets"])


if __name__ == "__main__":
    sys.exit(main())
