"""What an extension has to show, and whether it does."""

from collections.abc import Sequence
from typing import Any

Claim = dict[str, Any]


def claim(wanted: str, found: str, *, holds: bool) -> Claim:
    """Say what is wanted, what was found, and whether that is enough."""
    return {"wanted": wanted, "found": found, "holds": bool(holds)}


def all_hold(claims: Sequence[Claim]) -> bool:
    """Tell whether nothing falls short."""
    return all(one["holds"] for one in claims)
