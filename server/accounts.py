"""Patients' own accounts: signing in with a one-time code."""

from typing import Any

from server.store import Command, Query

COMMANDS: list[Command[Any, Any]] = []
QUERIES: list[Query[Any, Any]] = []
