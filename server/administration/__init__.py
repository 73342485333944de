"""The back office: places, people, devices, settings at three levels, second factors, and how the system is."""

from server.administration import (
    account,
    booking_levels,
    catalogue,
    doctors,
    factors,
    imports,
    levels,
    places,
    status,
    users,
)
from server.administration.rows import admin_rows
from server.administration.status import beating

COMMANDS = [
    *places.COMMANDS,
    *catalogue.COMMANDS,
    *doctors.COMMANDS,
    *imports.COMMANDS,
    *levels.COMMANDS,
    *booking_levels.COMMANDS,
    *users.COMMANDS,
    *factors.COMMANDS,
    *account.COMMANDS,
]
QUERIES = [
    *places.QUERIES,
    *catalogue.QUERIES,
    *doctors.QUERIES,
    *imports.QUERIES,
    *levels.QUERIES,
    *booking_levels.QUERIES,
    *users.QUERIES,
    *status.QUERIES,
]

__all__ = ["COMMANDS", "QUERIES", "admin_rows", "beating"]
