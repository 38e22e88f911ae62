"""Commitments of one bid, as a document."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from merit_crds.commitments.period import UNITS
from merit_crds.pricing import usd
from merit_crds.pricing.cost import PICO
from merit_dataplane.commitments.account import Committed

Document = dict[str, Any]


def shown(committed: Committed) -> Document:
    """What the merit order takes it for, what accounts will, and each commitment in the order of drawing.

    Volumes are decimals of the unit: usd, tokens or requests.
    """
    drawn = committed.drawn
    commitments = [
        {
            "name": account.name,
            "priceList": account.price_list,
            "unit": account.terms.unit,
            "draws": in_unit(part.units, account.terms.unit),
            "wants": in_unit(part.wanted, account.terms.unit),
            "volume": in_unit(account.volume, account.terms.unit),
            "remaining": in_unit(account.left, account.terms.unit),
            "periodEnds": ends(account.period.end) if account.period else None,
            "paceUSD": pace_of(account.pace, account.terms.unit),
        }
        for part in drawn.parts
        for account in (committed.accounts[part.place],)
    ]
    return {
        "listCostUSD": usd(drawn.listed),
        "pacedCostUSD": usd(drawn.paced),
        "effectiveCostUSD": usd(drawn.effective),
        "commitments": commitments,
    }


def in_unit(units: int, unit: str) -> str:
    """As its volume is stated."""
    return f"{Decimal(units) / (PICO if unit == 'usd' else UNITS):f}"


def pace_of(pace: int, unit: str) -> str:
    """A shadow price in USD of one dollar, token or request."""
    return usd(pace * UNITS if unit == "usd" else pace)


def ends(at: float) -> str:
    """RFC 3339."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
