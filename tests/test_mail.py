"""Mail on its way to the mail server: encrypted before a password is told, refused for good or for now."""

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from server.notices import Message
from tests.providers import Postbox, postbox
from tests.world import World
from workers.senders import Later, Refused
from workers.senders.email import EmailSender


def certificate(folder: Path, name: str) -> Path:
    """A certificate that proves a name, and itself, with its key."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .sign(key, SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    return file


@pytest_asyncio.fixture
async def box(tmp_path: Path) -> AsyncIterator[Postbox]:
    """A mail server with a certificate of its own."""
    async with postbox(tls=certificate(tmp_path, "127.0.0.1")) as box:
        yield box


def sender(world: World, box: Postbox, who: str = "desk:secret@", trusts: bool = True) -> EmailSender:
    sender = EmailSender(world.store, box.url.replace("//", f"//{who}"), "Riverside <desk@clinic.test>")
    if trusts:
        sender.tls_context = ssl.create_default_context(cafile=str(box.certificate))
    return sender


def letter(to: str = "sam@example.org", subject: str = "Hello") -> Message:
    return Message("reminder", "email", to, "en", "Tomorrow.", subject=subject)


async def test_mail_is_encrypted_and_the_password_told_within(world: World, box: Postbox) -> None:
    await sender(world, box).send(letter(), "notice-1")
    assert (len(box.mails), box.signed_in, box.encrypted) == (1, ["desk"], [True])


async def test_no_password_is_told_to_a_server_without_encryption(world: World) -> None:
    async with postbox() as box:
        with pytest.raises(Later):
            await sender(world, box, trusts=False).send(letter(), "notice-1")
        assert box.mails == {} and box.signed_in == []


async def test_a_server_that_cannot_prove_its_name_gets_nothing(world: World, box: Postbox) -> None:
    with pytest.raises(Later) as later:
        await sender(world, box, trusts=False).send(letter(), "notice-1")
    assert later.value.down and box.mails == {}


async def test_a_wrong_password_is_ours_to_put_right(world: World, box: Postbox) -> None:
    with pytest.raises(Later) as later:
        await sender(world, box, "desk:wrong@").send(letter(), "notice-1")
    assert later.value.down and box.mails == {}


@pytest.mark.parametrize(("answer", "meant"), [("550 5.1.1 No such user", Refused), ("450 4.2.1 Later", Later)])
async def test_a_bounce_at_the_address_is_for_good_only_where_it_says_so(
    world: World, box: Postbox, answer: str, meant: type[Exception]
) -> None:
    box.bounces["sam@example.org"] = answer
    with pytest.raises(meant, match=answer[:3]):
        await sender(world, box).send(letter(), "notice-1")


@pytest.mark.parametrize(
    "to", ["sam@example.org\r\nBcc: evil@example.org", "sam@example.org, evil@example.org", "<sam@example.org", "", "@"]
)
async def test_what_is_no_address_is_never_tried(world: World, box: Postbox, to: str) -> None:
    with pytest.raises(Refused):
        await sender(world, box).send(letter(to), "notice-1")
    assert box.mails == {}


@pytest.mark.parametrize("subject", ["Hi\r\nBcc: evil@example.org", "Hi\nX: y\n\nbody", "مرحبا\r\nCc: a@b.example"])
async def test_no_text_makes_a_header(world: World, box: Postbox, subject: str) -> None:
    await sender(world, box).send(letter(subject=subject), "notice-1")
    (mail,) = box.mails.values()
    allowed = {"from", "to", "subject", "date", "message-id", "content-language", "auto-submitted", "mime-version"}
    allowed |= {"content-type", "content-transfer-encoding", "x-peer", "x-mailfrom", "x-rcptto"}
    assert {name.lower() for name, _ in mail.items()} <= allowed and str(mail["To"]) == "sam@example.org"


async def test_a_letter_keeps_its_name_over_every_try(world: World, box: Postbox) -> None:
    names: set[Any] = {await sender(world, box).send(letter(), "notice-7") for _ in range(2)}
    assert names == {"<notice-7@clinic.test>"} and box.repeats == 1
