"""The way out to browsers: encrypted for each so that its push service reads nothing (RFC 8291), signed by VAPID.

Written here on `cryptography` rather than taken from pywebpush: that brings a second HTTP client that follows
redirects and resolves names by itself, where each request here must go to the very address that was looked at; and one
of its dependencies has no wheels. What is left of it is the sixty lines below, held by the RFC's own example.

Push services and their browsers are strangers' choice: one that fails says nothing of the others, so nothing here
counts for the breaker. A repeat has the same topic, by which a push service replaces what it has not delivered yet,
and the same tag, by which the browser replaces what it shows.
"""

import asyncio
import base64
import os
from datetime import datetime
from typing import Final

import httpx2
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.notices import Message, addresses, push
from server.notices.push import Subscription
from server.store import Store
from workers.senders import Later, Refused
from workers.senders.twilio import waits

TIMEOUT = 5.0
"""Seconds that a push service has for its answer."""
PADDED: Final = 1024
"""Every message is as long as any other, up to this: its length would tell which it is. 4096 is a record's most."""
URGENT: Final = frozenset({"you-are-next", "you-are-called", "emergency-alert", "waitlist-offer", "wait-grown"})
"""Kinds that a sleeping telephone is woken for, and that are stale soon."""
LONGEST_TITLE, LONGEST_BODY = 100, 500
"""Letters that a browser shows at the very most; four bytes each, they fit into one record."""
SHORT, LONG = 600, 12 * 3600
"""Seconds for which a push service keeps what it cannot deliver at once."""


class PushSender:
    """All push services there are."""

    provider = "push"

    def __init__(self, store: Store, client: httpx2.AsyncClient, contact: str, inside: bool = False) -> None:
        self.store, self.client, self.contact, self.inside = store, client, contact, inside
        self._keys: push.Keys | None = None

    async def send(self, message: Message, key: str, since: datetime | None = None) -> str | None:
        """Send it to all browsers of a person. Raises `Refused` where none is left, `Later` where none took it."""
        browsers = await push.subscriptions(self.store.pool, message.recipient)
        content = payload(message, key)
        took = await asyncio.gather(*(self._try(one, message, key, content) for one in browsers))
        if any(one is None for one in took):
            return None
        later = [one for one in took if isinstance(one, Later)]
        raise later[0] if later else Refused("no browser is left")

    async def _try(self, browser: Subscription, message: Message, key: str, content: bytes) -> Exception | None:
        """What kept it from one browser; None: its push service has it."""
        try:
            where = await addresses.place(browser.endpoint, self.inside)
        except addresses.InnerAddress:
            await push.forget(self.store.pool, browser)
            return Refused("not a public address")
        except addresses.NotFound:
            return Later("no such push service just now")
        self._keys = self._keys or await push.keys(self.store.pool, self.store.secret_key)
        headers = {
            "Host": where.host,
            "TTL": str(SHORT if message.kind in URGENT else LONG),
            "Urgency": "high" if message.kind in URGENT else "normal",
            "Topic": key,
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "Authorization": vapid(self._keys, where.origin, self.contact, self.store.now()),
        }
        try:
            # The name is still what the certificate must prove. Answers are strangers' text: only their head is read.
            async with self.client.stream(
                "POST",
                where.url,
                content=encrypted(content, browser.p256dh, browser.auth),
                headers=headers,
                timeout=TIMEOUT,
                follow_redirects=False,
                extensions={"sni_hostname": where.host.rpartition(":")[0] or where.host},
            ) as answer:
                return await self._meant(browser, answer)
        except (httpx2.HTTPError, httpx2.InvalidURL) as lost:
            return Later(type(lost).__name__)

    async def _meant(self, browser: Subscription, answer: httpx2.Response) -> Exception | None:
        status = answer.status_code
        if status in (200, 201, 202, 204):
            await push.note_used(self.store.pool, browser)
            return None
        if status in (404, 410):
            await push.forget(self.store.pool, browser)
            return Refused(f"{status} gone")
        if status in (400, 413):
            return Refused(f"{status} not taken")
        return Later(str(status), wait=waits(answer) if status == 429 else None, alone=True)


def payload(message: Message, key: str) -> bytes:
    """What the browser shows: nothing that a locked telephone may not."""
    told = {
        "title": (message.subject or "Callboard")[:LONGEST_TITLE],
        "body": message.body[:LONGEST_BODY],
        "opens": message.opens,
        "tag": key,
        "language": message.language,
    }
    return orjson.dumps(told)


def encrypted(
    content: bytes,
    p256dh: bytes,
    auth: bytes,
    key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
    padded: int = PADDED,
) -> bytes:
    """Content as only one browser reads it: RFC 8291's one record of RFC 8188's aes128gcm, padded."""
    key, salt = key or ec.generate_private_key(ec.SECP256R1()), salt or os.urandom(16)
    ours = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    secret = _hkdf(auth, key.exchange(ec.ECDH(), theirs), b"WebPush: info\0" + p256dh + ours, 32)
    sealing = AESGCM(_hkdf(salt, secret, b"Content-Encoding: aes128gcm\0", 16))
    record = content + b"\x02" + bytes(max(0, padded - len(content)))
    sealed = sealing.encrypt(_hkdf(salt, secret, b"Content-Encoding: nonce\0", 12), record, None)
    return salt + (4096).to_bytes(4, "big") + bytes([len(ours)]) + ours + sealed


def _hkdf(salt: bytes, secret: bytes, info: bytes, size: int) -> bytes:
    return HKDF(SHA256(), size, salt, info).derive(secret)


def vapid(keys: push.Keys, origin: str, contact: str, now: datetime) -> str:
    """Who we are, for one push service, for twelve hours (RFC 8292, section 3; ES256 of RFC 7518)."""
    claims = {"aud": origin, "exp": int(now.timestamp()) + 12 * 3600, "sub": contact}
    signed = b".".join(_base64url(orjson.dumps(part)) for part in ({"typ": "JWT", "alg": "ES256"}, claims))
    r, s = decode_dss_signature(keys.private.sign(signed, ec.ECDSA(SHA256())))
    token = signed + b"." + _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    return f"vapid t={token.decode()}, k={keys.told}"


def _base64url(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
