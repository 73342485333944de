"""HTTP connections that do not wait for ever: a request's head must arrive in time.

Owns what Callboard knows about the insides of uvicorn's HTTP protocol (its version is pinned; `tests/test_doors.py`
holds what is used here). uvicorn times out idle connections between requests, and neither one that never sends a
request nor one that sends it a byte a minute; a few thousand of those would take every connection that there is.

A proxy in front is still the better place for this: it holds slow clients off without costing us a connection each.
"""

from asyncio import Transport
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_WITHIN = 15.0
"""Seconds from the connection's opening, or from the last answer, to the end of a request's head."""


class PunctualHttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol (`http=`), which drops a connection whose next request is too long in coming."""

    _deadline: Any = None

    def _await_head(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(HEAD_WITHIN, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    @override
    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    @override
    def on_headers_complete(self) -> None:
        self._disarm()
        super().on_headers_complete()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The next request may be in the pipeline, with its head complete.
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
