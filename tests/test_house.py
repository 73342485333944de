"""The house is in order: style, types, and one test command that README and CI share."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from server.config import ROOT
from tests import outside

BIN = Path(sys.executable).parent


def passes(*command: str | Path) -> None:
    """Run a checker; what it says is the failure's message."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{Path(command[0]).name}:\n{done.stdout}{done.stderr}", pytrace=False)


def shell_blocks() -> list[str]:
    """The README's `sh` blocks, in order."""
    readme = (ROOT / "README.md").read_text()
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)]


def requirements(lock: str) -> dict[str, str]:
    """Each requirement of a lock file with its exact version."""
    pinned = re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\\n]+)", (ROOT / lock).read_text(), re.MULTILINE)
    return dict(pinned)


def test_python_is_linted():
    passes(BIN / "ruff", "check", "--quiet", ".")


def test_python_is_formatted():
    passes(BIN / "ruff", "format", "--check", "--quiet", ".")


def test_python_is_typed():
    passes(BIN / "mypy")


def test_browser_code_is_typed():
    config = next(path for name in ("tsconfig", "jsconfig") for path in ROOT.glob(f"clients/{name}.json"))
    passes(outside.tsc(), "--noEmit", "-p", config)


def test_the_two_set_up_commands_are_one_line_each_and_stand_first():
    run, test, *_ = shell_blocks()
    assert run.endswith("callboard up") and test.endswith("python -m pytest -n logical --dist loadfile")
    assert "\n" not in run + test


def test_ci_runs_the_very_test_command_of_the_readme():
    assert shell_blocks()[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_tests_run_on_the_versions_that_callboard_runs_on():
    ours, theirs = requirements("requirements.lock"), requirements("tests/requirements.lock")
    assert ours and ours.items() <= theirs.items()


def test_every_requirement_is_held_by_hash_and_names_no_host():
    for lock in ("requirements.lock", "tests/requirements.lock"):
        text = (ROOT / lock).read_text()
        pinned = re.findall(r"^[a-z].*==.*\n(    --hash=sha256:)?", text, re.MULTILINE)
        assert len(pinned) == len(requirements(lock)) and all(pinned)
        assert "://" not in text
