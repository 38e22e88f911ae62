"""Bids at what they cost with commitments: at the margin, and at the pace at which a volume is to be drawn."""

from merit_crds.commitments import draw
from merit_crds.pricing import price_details
from merit_dataplane.commitments.account import CommitmentAccount, Committed, offered
from merit_dataplane.dispatch.bid import Bid, Standing

_new = tuple.__new__
_TIE = 1_000_000
"""Of two candidates that cost nothing at the margin, the one that takes less of what was paid for comes first."""


def committed(bids: list[Bid], wall: float) -> list[Bid]:
    """What has been paid already costs nothing here, but for what it may be needed for later."""
    made = []
    for bid in bids:
        accounts = bid.target.commitments
        if accounts:
            found, offers = offered(accounts, wall)
            if offers:
                usage = bid.warm.usage(bid.input, bid.output)
                drawn = draw(offers, price_details(bid.charge, usage), usage, standard=bid.charge is bid.tariff)
                cost = drawn.paced + (drawn.effective - drawn.marginal) // _TIE
                # a third of the time of _replace
                bid = _new(Bid, (*bid[:2], cost, *bid[3:-1], Committed(drawn, found)))  # noqa: PLW2901
        made.append(bid)
    return made


def ask(order: list[Bid], wall: float) -> None:
    """Tells each commitment how much a request would draw, and up to which shadow price.

    That is where the cheapest that draws elsewhere, or nowhere, costs as much; after the volume is spent, that may be
    the candidate itself. Of several that would draw, the one that gains most by unit counts.
    """
    wishes: dict[CommitmentAccount, tuple[float, int]] = {}
    for bid in order:
        if bid.standing is not Standing.ADMISSIBLE or bid.committed is None:
            continue
        drawn, accounts = bid.committed
        for part in drawn.parts:
            account = accounts[part.place]
            whole = drawn.marginal - part.saves * (part.wanted - part.units) // part.wanted
            gain = (_elsewhere(order, account) - whole) * 10**6 / part.wanted
            if gain > wishes.get(account, (0.0, 0))[0]:
                wishes[account] = (gain, part.wanted)
    for account, (gain, wanted) in wishes.items():
        account.asked(gain, wanted, wall)


def _elsewhere(order: list[Bid], account: CommitmentAccount) -> int:
    """Pico-dollars that the request costs without this commitment."""
    costs = []
    for bid in order:
        if bid.standing is Standing.ADMISSIBLE:
            if bid.committed is None or account not in bid.committed.accounts:
                costs.append(bid.cost)
            else:
                costs.append(bid.committed.drawn.beyond)
    return min(costs)
