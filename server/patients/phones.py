"""Telephone numbers as they are kept: E.164 wherever it is known what country they are of. Pure: no IO."""

import phonenumbers


def shown(number: str) -> str:
    """A kept number as people read it: in groups, with its country's prefix."""
    try:
        return phonenumbers.format_number(phonenumbers.parse(number), phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    except phonenumbers.NumberParseException:
        return number


def kept(typed: str, country: str | None) -> str:
    """A number in E.164; as it was typed where neither it nor the institution says of what country it is.

    Raises ValueError for a number that nobody can have there.
    """
    if not typed.startswith("+") and country is None:
        return typed
    try:
        number = phonenumbers.parse(typed, country)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise ValueError("There is no such telephone number.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
