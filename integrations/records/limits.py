"""How often a CRM lets us ask."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`limit` requests in any `seconds`. `bucket` names what is counted together: of one connection, or of all when `shared`."""

    bucket: str
    limit: int
    seconds: float
    shared: bool = False


@dataclass(frozen=True, slots=True)
class RateHint:
    """What an answer's headers say of a bucket. None: not said."""

    bucket: str
    limit: int | None = None
    seconds: float | None = None
    remaining: int | None = None
