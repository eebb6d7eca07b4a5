"""Salesforce ids: 15 characters in which case matters, or 18 with a checksum that makes case safe. We keep 18."""

import re

ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def is_id(text: str) -> bool:
    return ID.fullmatch(text) is not None


def to_18(text: str) -> str:
    """The 18-character form of either form. Raises ValueError for anything else."""
    if not is_id(text):
        raise ValueError("A Salesforce id has 15 or 18 letters and digits.")
    return text if len(text) == 18 else text + checksum(text)


def checksum(first_15: str) -> str:
    """One character for each group of five: bit k is set when the k-th of them is an upper-case letter."""
    groups = (first_15[start : start + 5] for start in (0, 5, 10))
    return "".join(_ALPHABET[sum(1 << place for place, char in enumerate(group) if char.isupper())] for group in groups)
