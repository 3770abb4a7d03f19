"""Judges a measurement of coverage: python tests/coverage_gate.py REPORT.json LINES BRANCHES.

LINES and BRANCHES are percentages of all that can be run; what is missing is printed, file by file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def share(covered: int, all_of_them: int) -> float:
    return 100 * covered / all_of_them if all_of_them else 100.0


def main(report: str, lines: str, branches: str) -> int:
    """Print what is missing; return 1 when it is more than is allowed."""
    measured: dict[str, Any] = json.loads(Path(report).read_text())
    for name, file in measured["files"].items():
        missing = [*map(str, file["missing_lines"]), *(f"{a}->{b}" for a, b in file["missing_branches"])]
        if missing:
            print(f"{name}: {', '.join(missing)}")
    totals = measured["totals"]
    found = (
        share(totals["covered_lines"], totals["num_statements"]),
        share(totals["covered_branches"], totals["num_branches"]),
    )
    print(f"{found[0]:.2f} % of {totals['num_statements']} lines, {lines} wanted;", end=" ")
    print(f"{found[1]:.2f} % of {totals['num_branches']} branches, {branches} wanted")
    return 0 if found[0] >= float(lines) and found[1] >= float(branches) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
