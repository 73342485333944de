"""`python -m tests.bench [NAME…] [--quick] [--json FILE]`: measures, and prints a Markdown table."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.rows import ROWS, Row
from tests.bench.wire import allow_many_files


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = f"{len(names)} × {names[0]}" if names else cpu
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "system": platform.system(),
        "python": platform.python_version(),
    }


def table(rows: list[Row]) -> str:
    """The rows as Markdown: our figure, each other's, and the ratio to it."""
    others = list(dict.fromkeys(who for row in rows for who in (*row.figures, *row.missing) if who != "ours"))
    lines = ["| what | ours | " + " | ".join(others) + " |", "|---" * (len(others) + 2) + "|"]
    for row in rows:
        cells = [f"**{row.figures['ours']:.3g} {row.unit}**" if "ours" in row.figures else "-"]
        for who in others:
            if who not in row.figures:
                cells.append("-")
                continue
            wanted = row.reach.get(who)
            relation = "≥" if row.more_is_better else "≤"
            aim = f", reach {relation} {wanted}" if wanted else ""
            cells.append(f"{row.figures[who]:.3g} (× {row.ratios().get(who, 0):.2f}{aim})")
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


async def measure(names: list[str], quick: bool) -> tuple[list[Row], list[str]]:
    """The rows, and the names of those that failed; one that fails costs none of the others."""
    rows: list[Row] = []
    failed: list[str] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            rows += await ROWS[name](quick)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    return rows, failed


def main(argv: list[str] | None = None) -> int:
    """Run the named rows, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(ROWS)}; all when none is given")
    parser.add_argument("--quick", action="store_true", help="a few sockets: shows that it runs, measures nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    asked = parser.parse_args(argv)
    unknown = set(asked.names) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    allow_many_files()
    rows, failed = asyncio.run(measure(asked.names or list(ROWS), asked.quick))
    print(table(rows))
    for reason in dict.fromkeys(reason for row in rows for reason in row.missing.values()):
        print(f"\nNot measured: {reason}.")
    if asked.json:
        asked.json.write_text(json.dumps({**machine(), "rows": [row.as_json() for row in rows]}, indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
