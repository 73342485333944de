"""What an appointment costs, whether that is paid, and who pays: the desk's part."""

from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from server import events
from server.access import DESK, Actor
from server.appointments.booking import Coverage
from server.appointments.records import facts, open_appointment, save, tell
from server.appointments.requests import AppointmentNow, moved
from server.asks import Ask, Id
from server.events import Payment
from server.store import Command, Tx

Fee = Annotated[str, StringConstraints(pattern=r"^\d{1,8}(\.\d{1,2})?$")]


class SetPayment(Ask):
    """Paid or not, and another fee where it is not the usual one."""

    appointment_id: Id
    payment: Payment | None = None
    fee: Fee | None = Field(default=None, description="Such as 80.00.")


async def set_payment(tx: Tx, actor: Actor, ask: SetPayment) -> AppointmentNow:
    """Note whether an appointment is paid, and what it costs. Raises `NotFound`, `NotAllowed`."""
    before = await open_appointment(tx, actor, ask.appointment_id)
    after = replace(
        before, payment=ask.payment or before.payment, fee=before.fee if ask.fee is None else Decimal(ask.fee)
    )
    await save(tx, after, before)
    tell(tx, after, events.AppointmentUpdated(**facts(after)), before)
    return moved(after)


class VerifyInsurance(Ask):
    """Whether the insurance was verified, and which it is where that has to be corrected."""

    appointment_id: Id
    verified: bool
    insurance: Coverage | None = None


async def verify_insurance(tx: Tx, actor: Actor, ask: VerifyInsurance) -> AppointmentNow:
    """Note that an appointment's insurance is verified, or not. Raises `NotFound`, `NotAllowed`."""
    before = await open_appointment(tx, actor, ask.appointment_id)
    insurance = ask.insurance.model_dump() if ask.insurance else before.insurance
    after = replace(before, insurance_verified=ask.verified, insurance=insurance)
    await save(tx, after, before)
    tell(tx, after, events.AppointmentUpdated(**facts(after)), before)
    return moved(after)


COMMANDS: list[Command[Any, Any]] = [
    Command(
        "set-payment", set_payment, SetPayment, AppointmentNow, DESK, "POST /appointments/{appointment_id}/payment"
    ),
    Command(
        "verify-insurance",
        verify_insurance,
        VerifyInsurance,
        AppointmentNow,
        DESK,
        "POST /appointments/{appointment_id}/insurance",
    ),
]
