"""One click in a mail program that ends messages like the one it stands in (RFC 8058).

Invariant: it asks for nothing: no page, no cookie, no confirmation; the link alone says whose and which. Looking at the
link changes nothing, so that no program that follows links unsubscribes anybody.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server import asks, errors
from server.access import ANONYMOUS
from server.notices.preferences import COMMANDS, EndMessages
from server.store import Store

MOST = 4 * 1024
"""Bytes that a mail program posts at most."""
UNSUBSCRIBE = next(one for one in COMMANDS if one.name == "end-messages")


def routes(store: Callable[[], Store]) -> list[Route]:
    """Where mail programs post; the same address is the page for people."""

    async def one_click(request: Request) -> Response:
        """End messages like the one that this link stood in."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST:
                raise errors.BodyTooLarge(limit=MOST)
        ask = asks.validate(EndMessages, {"token": request.path_params["token"]})
        await store().execute(UNSUBSCRIBE, ANONYMOUS, ask)
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    return [Route("/unsubscribe/{token}", one_click, methods=["POST"])]
