"""What a client is told when no candidate of its tier can serve a request: the field, its value, and what would do."""

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
    message, param = _lacking(tier, call)
    return RequestError(400, message, code="no_capable_model", param=param)


def _reasons(bids: list[Bid]) -> str:
    shown = [f"{bid.target.labels[2]} {bid.target.model}: {bid.reason}" for bid in bids[:_MOST_SHOWN]]
    more = len(bids) - len(shown)
    return "; ".join(shown) + (f"; {more} more" if more else "")


def _lacking(tier: TierPlan, call: Call) -> tuple[str, str]:
    """Words, and the field that would have to change."""
    nobody = f"No candidate of tier {tier.name!r} can serve this request:"
    able = [target for target in tier.targets if not call.features & ~target.features]
    if not able:
        return f"{nobody} none has all that it uses ({names(call.features)}).", "model"
    roomy = [t for t in able if not t.context_window or t.context_window > call.input_tokens]
    if not roomy:
        window = max(target.context_window for target in able)
        wants = f"its input has about {call.input_tokens} tokens, and the largest context window {window}"
        return f"{nobody} {wants}. Send a shorter one.", call.input_field
    # what each could write after this input; one without bounds would not have been left out
    most = max(min(_bounds(target.max_output_tokens, target.context_window, call.input_tokens)) for target in roomy)
    field = call.limit_field
    fix = f"Set {field} to {most} or less."
    return f"{nobody} {field} is {call.output_limit}, and {most} is the most here. {fix}", field


def _bounds(max_output_tokens: int, context_window: int, input_tokens: int) -> list[int]:
    bounds = [max_output_tokens] if max_output_tokens else []
    return bounds + ([context_window - input_tokens] if context_window else [])
