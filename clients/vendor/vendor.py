"""Owns `clients/vendor`: the few libraries the pages use, fetched at exact versions and held by checksums.

Invariant: every file that manifest.json lists has the sha256 it states, and nothing else lies here.

    python clients/vendor/vendor.py --check     compare the files with the manifest; needs no network
    python clients/vendor/vendor.py --fetch     fetch the manifest's versions with `npm pack`, write files and checksums

`--folder tests/js/vendor` does the same for what the tests alone use.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OWN = {"manifest.json", "vendor.py"}


def sha256(data: bytes) -> str:
    """Return the hex digest by which the manifest knows a file."""
    return hashlib.sha256(data).hexdigest()


def manifest(folder: Path) -> dict[str, Any]:
    """Return what is vendored in a folder, as its manifest lists it."""
    document: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return document


def check(folder: Path) -> list[str]:
    """Return one sentence for each file that is missing, altered, or not listed."""
    wrong: list[str] = []
    listed: set[str] = set()
    for package in manifest(folder)["packages"]:
        for entry in package["files"]:
            listed.add(entry["file"])
            path = folder / entry["file"]
            if not path.is_file():
                wrong.append(f"{entry['file']} is missing")
            elif sha256(path.read_bytes()) != entry["sha256"]:
                wrong.append(f"{entry['file']} differs from {package['name']} {package['version']}")
    present = {path.name for path in folder.iterdir() if path.is_file()}
    wrong += [f"{name} is not in the manifest" for name in sorted(present - listed - OWN)]
    return wrong


def without_source_map(text: bytes) -> bytes:
    """Drop the reference to a source map, which is not vendored and would be asked for in vain."""
    lines = text.rstrip().split(b"\n")
    head, found, _ = lines[-1].rpartition(b"//# sourceMappingURL=")
    if found:
        lines[-1] = head
    return b"\n".join(line for line in lines if line).rstrip() + b"\n"


def fetch(folder: Path) -> None:
    """Write every file of the manifest from its package, and the checksums of what was written."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed to fetch; --check needs nothing")
    document = manifest(folder)
    for package in document["packages"]:
        with tempfile.TemporaryDirectory() as packed:
            wanted = f"{package['name']}@{package['version']}"
            subprocess.run([npm, "pack", "--silent", wanted], cwd=packed, check=True)
            with tarfile.open(next(Path(packed).glob("*.tgz"))) as archive:
                for entry in package["files"]:
                    member = archive.extractfile(f"package/{entry['from']}")
                    if member is None:
                        raise SystemExit(f"{wanted} has no {entry['from']}")
                    data = without_source_map(member.read())
                    (folder / entry["file"]).write_bytes(data)
                    entry["sha256"] = sha256(data)
    (folder / "manifest.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Fetch or check, and say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true")
    mode.add_argument("--fetch", action="store_true")
    parser.add_argument("--folder", type=Path, default=HERE)
    asked = parser.parse_args()
    if asked.fetch:
        fetch(asked.folder)
    wrong = check(asked.folder)
    for sentence in wrong:
        sys.stderr.write(sentence + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
