"""Phone numbers as people write them, in the one form that we keep."""

import phonenumbers


def to_e164(text: str, region: str) -> str:
    """The number in E.164; without a country code it is read as `region`'s. Raises ValueError with what to do."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise ValueError(f"This is no valid phone number of {region}. Send it with + and its country code.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
