"""What one request reserves of commitments while it is under way, and what it draws in the end."""

import time
from decimal import Decimal
from typing import NamedTuple

from merit_crds.commitments import draw
from merit_crds.commitments.period import UNITS
from merit_crds.pricing import CostDetails, Usage, usd
from merit_crds.pricing.cost import PICO
from merit_crds.usage_line import StampedDraw
from merit_dataplane.commitments.account import CommitmentAccount, Committed, offered


class Draw(NamedTuple):
    """What was drawn from one commitment."""

    account: CommitmentAccount
    start: int
    """Of the period."""
    units: int
    wanted: int
    fee: int
    """Pico-dollars of the fee that it accounts for."""


def reserve(committed: Committed) -> Committed:
    """An attempt begins that is expected to draw so much: what is left for others is less by it."""
    for part in committed.drawn.parts:
        committed.accounts[part.place].pending += part.units
    return committed


def release(committed: Committed) -> None:
    """That attempt has ended, or is settled."""
    for part in committed.drawn.parts:
        committed.accounts[part.place].pending -= part.units


def learn(expected: Committed, draws: tuple[Draw, ...]) -> None:
    """By how much a request drew more than was expected of it."""
    wanted = {draw.account: draw.wanted for draw in draws}
    for part in expected.drawn.parts:
        account = expected.accounts[part.place]
        if account in wanted:
            account.settled(part.wanted, wanted[account])


def settle(
    accounts: tuple[CommitmentAccount, ...],
    listed: CostDetails,
    usage: Usage,
    before: tuple[Draw, ...],
    *,
    standard: bool,
) -> tuple[CostDetails, tuple[Draw, ...]]:
    """Draws for a usage, in place of what was drawn for the same request before: its cost, and the draws.

    The period is that in which the request ends.
    """
    for old in before:
        old.account.give_back(old.units, old.start)
    now = time.time()
    found, offers = offered(accounts, now, asks=False)
    if not offers:
        return listed, ()
    drawn = draw(offers, listed, usage, standard=standard)
    draws = []
    for part in drawn.parts:
        account = found[part.place]
        draws.append(Draw(account, account.draw(part.units, now), part.units, part.wanted, part.effective))
    return _scaled(listed, drawn.marginal, drawn.effective - drawn.marginal), tuple(draws)


def stamped_draw(draw: Draw) -> StampedDraw:
    """For the usage log."""
    unit = PICO if draw.account.terms.unit == "usd" else UNITS
    return StampedDraw(
        commitment=draw.account.name,
        period=draw.start,
        drawn=_decimal(draw.units, unit),
        wanted=_decimal(draw.wanted, unit),
        fee=usd(draw.fee),
    )


def _decimal(units: int, unit: int) -> str:
    return f"{Decimal(units) / unit:f}"


def _scaled(listed: CostDetails, marginal: int, amortised: int) -> CostDetails:
    """A cost by component, in the proportions of the list's."""
    total = listed.total
    if not total:
        return CostDetails(0, 0, marginal, amortised)
    of_input, of_request = listed.input * marginal // total, listed.request * marginal // total
    return CostDetails(of_input, marginal - of_input - of_request, of_request, amortised)
