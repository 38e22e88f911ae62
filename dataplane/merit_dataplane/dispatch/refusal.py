"""What a client is told when no candidate of its tier can serve a request: the field, its value, and what would do."""

from merit_crds.pricing import charge_of
from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.snapshots.tables import TierPlan
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import names
from merit_dataplane.wire.openai_request import Call

_MOST_SHOWN = 8
_DONT_RETRY = ((b"x-should-retry", b"false"),)
"""OpenAI's SDKs heed it: prices and stated accuracies don't change while a client waits."""


def nobody_left(tier: TierPlan, call: Call, bids: list[Bid]) -> RequestError:
    """`bids` are all candidates', each with the reason why it is out. What a client can change comes first."""
    standings = {bid.standing for bid in bids}
    if Standing.EXCLUDED in standings:
        message = f"No candidate of tier {tier.name!r} is left. {_reasons(bids)}. Steer less, with `provider`."
        return RequestError(400, message, code="no_candidate_left", param="provider")
    if Standing.REFUSED in standings:
        message = f"No candidate of tier {tier.name!r} meets its objectives. {_reasons(bids)}."
        return RequestError(503, message, kind="server_error", code="objectives_missed")
    if Standing.TOO_DEAR in standings:
        message = f"No candidate of tier {tier.name!r} is within the route's maxPrice. {_reasons(bids)}."
        return RequestError(503, message, kind="server_error", code="max_price_exceeded", headers=_DONT_RETRY)
    message, param = _lacking(tier, call, bids)
    return RequestError(400, message, code="no_capable_model", param=param)


def _reasons(bids: list[Bid]) -> str:
    shown = [f"{bid.target.labels[2]} {bid.target.model}: {bid.reason}" for bid in bids[:_MOST_SHOWN]]
    more = len(bids) - len(shown)
    return "; ".join(shown) + (f"; {more} more" if more else "")


def _lacking(tier: TierPlan, call: Call, bids: list[Bid]) -> tuple[str, str]:
    """Words, and the field that would have to change."""
    nobody = f"No candidate of tier {tier.name!r} can serve this request:"
    able = [bid for bid in bids if not call.features & ~bid.target.features]
    if not able:
        only_there = ", ".join(call.native.only_there[:_MOST_SHOWN]) if call.native is not None else ""
        fields = f" ({only_there})" if only_there else ""
        return f"{nobody} none has all that it uses ({names(call.features)}{fields}).", "model"
    able = [bid for bid in able if charge_of(bid.tariff, call.service_tier)]
    if not able:
        return f"{nobody} none has a price for the service tier {call.service_tier[:64]!r}.", "service_tier"
    # what each could write after this input; one without bounds would not have been left out
    most = max(min(_bounds(bid)) for bid in able)
    if most <= 0:
        widest = max(able, key=lambda bid: bid.target.context_window)
        wants = (
            f"its input has about {widest.input} tokens, and the largest context window {widest.target.context_window}"
        )
        return f"{nobody} {wants}. Send a shorter one.", call.input_field
    field = call.limit_field
    fix = f"Set {field} to {most} or less."
    return f"{nobody} {field} is {call.output_limit}, and {most} is the most here. {fix}", field


def _bounds(bid: Bid) -> list[int]:
    target = bid.target
    bounds = [target.max_output_tokens] if target.max_output_tokens else []
    return bounds + ([target.context_window - bid.input] if target.context_window else [])
