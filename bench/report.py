"""The results as tables in Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Result
from bench.programs import OURS, REAL, programs
from bench.scale import Case

BEGIN, END = "<!-- begin of what `make bench` wrote -->", "<!-- end of what `make bench` wrote -->"


def machine(runs: int, work: Path) -> str:
    """Return a line on where and how it was measured."""
    system = os.uname()
    return (
        f"{os.cpu_count()} processors, {system.sysname} {system.release.split('-')[0]} {system.machine}, "
        f"Python {platform.python_version()}; images and results on {_filesystem(work)}; "
        f"medians of {runs} rounds, all programs in turn, after one that is not counted."
    )


def _filesystem(path: Path) -> str:
    """Return the type of the file system that a path is on."""
    best = ("", "an unknown file system")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if path.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def table(title: str, results: Sequence[Result], *, floor: int) -> str:
    """Return the table of one job; ratios are to the real pygrub where it took part.

    `floor` is the peak memory in bytes below which nothing can be told.
    """
    real = next((result for result in results if result.name == REAL), None)
    cp = next((result for result in results if result.name.startswith("cp ")), None)
    lines = [
        f"### {title}",
        "",
        "| program | CPU, ms | x real pygrub | x cp | peak memory, MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    for result in results:
        name = f"**{result.name}**" if result.name == OURS else result.name
        memory = f"{result.memory / (1 << 20):.0f}"
        lines.append(
            f"| {name} | {result.cpu * 1000:.0f} | {_ratio(result, real)} | {_ratio(result, cp)} "
            f"| {'≤ ' if result.memory <= floor else ''}{memory} |"
        )
    return "\n".join(lines)


def _ratio(result: Result, other: Result | None) -> str:
    return f"{result.ratio(other):.2f}" if other else "-"


def scale_table(cases: Sequence[tuple[Case, list[Result]]]) -> str:
    """Return the table of what grows; ratios are to the second row of each case."""
    lines = [
        "### Scale",
        "",
        "| case | program | CPU, ms | ratio | target | peak memory, MiB |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for case, results in cases:
        for index, result in enumerate(results):
            ratio = _ratio(result, results[1]) if index == 0 and len(results) > 1 else "-"
            target = case.target if index == 0 else ""
            title = case.title if index == 0 else ""
            memory = f"{result.memory / (1 << 20):.0f}"
            lines.append(
                f"| {title} | {result.name} | {result.cpu * 1000:.0f} | {ratio} | {target} | {memory} |"
            )
    return "\n".join(lines)


def versions() -> str:
    """Return the list of what was compared."""
    return "\n".join(
        ["### Versions", "", *(f"- {program.name}: {program.installed_version}" for program in programs())]
    )


def write(document: Path, text: str) -> None:
    """Put the tables between the two marks of a document; raises ValueError when it has none."""
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no marks for the tables")
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
