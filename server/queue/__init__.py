"""The live queue: tickets, calls, waits."""
