"""Say what `pip-audit` found, read from its JSON report; a report about nothing is not taken for a clean one.

A mirror of a package index knows no advisories: pip-audit then skips every package and reports no vulnerability.
"""

import json
import sys
from pathlib import Path
from typing import Any


def verdict(report: dict[str, Any]) -> tuple[str, int]:
    """What to print, and the exit status: 1 where a package is vulnerable."""
    packages = report.get("dependencies", [])
    audited = [one for one in packages if "skip_reason" not in one]
    found = [
        f"  {one['name']} {one['version']}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or 'nothing yet'}"
        for one in audited
        for hole in one["vulns"]
    ]
    if found:
        return "\n".join(["Dependencies with known holes:", *found]), 1
    if not audited:
        return "Dependencies were NOT audited: no advisories can be reached from here.", 0
    return f"{len(audited)} of {len(packages)} dependencies were audited; no known hole.", 0


if __name__ == "__main__":
    path = Path(sys.argv[1])
    try:
        text, status = verdict(json.loads(path.read_text()))
    except (OSError, ValueError):
        text, status = verdict({})
    print(text, file=sys.stderr)
    raise SystemExit(status)
