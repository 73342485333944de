"""Addresses that strangers give us to send to: only public ones, and only the very one that was looked at.

Invariant: no request leaves for this machine or for a private network, whatever a name resolves to at one time and at
another: the address is looked up anew for each request, and the request goes to the address that was found.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

LOOKED_UP_WITHIN = 3.0
TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""IPv6 addresses that stand for IPv4 ones (RFC 6052, RFC 8215): where they lead only the network knows."""


class InnerAddress(Exception):
    """The address is not one that we send to."""


class NotFound(Exception):
    """There is no such name just now, or nobody who would tell."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: the address itself, and the name that whoever answers there must prove."""

    url: str
    host: str
    origin: str


async def place(url: str, inside: bool = False) -> Place:
    """Where a URL leads this moment. Raises `InnerAddress`, and `NotFound` where nobody knows the name.

    `inside` lets tests send to this machine, without TLS.
    """
    parts = split(url, inside)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(LOOKED_UP_WITHIN):
            found = await look_up(host, port)
    except (OSError, TimeoutError, UnicodeError) as unknown:
        raise NotFound(host) from unknown
    if not found:
        raise NotFound(host)
    if not inside and not all(map(public, found)):
        raise InnerAddress(host)
    # Of a name with both, IPv4: a clinic's network without a way out for IPv6 is common.
    address = min(found, key=lambda one: one.version)
    literal = f"[{address}]" if address.version == 6 else str(address)
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    return Place(f"{parts.scheme}://{literal}:{port}{path}", parts.netloc, f"{parts.scheme}://{parts.netloc}")


def split(url: str, inside: bool = False) -> SplitResult:
    """The parts of a URL that may be a push service's. Raises `InnerAddress`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InnerAddress(url) from None
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if not parts.hostname or "@" in parts.netloc or not plain:
        raise InnerAddress(url)
    if not inside and (parts.scheme != "https" or port not in (None, 443)):
        raise InnerAddress(url)
    if parts.scheme not in ("https", "http"):
        raise InnerAddress(url)
    return parts


async def look_up(host: str, port: int) -> Sequence[IPv4Address | IPv6Address]:
    """All addresses of a name."""
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(row[4][0]).partition("%")[0]) for row in rows]


def public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet, and stands for no other that is not."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        hidden = any(address in network for network in TRANSLATED)
        return not hidden and all(public(one) for one in inner if one is not None)
    return True
