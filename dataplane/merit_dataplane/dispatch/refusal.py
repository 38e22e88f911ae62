"""What a client is told when no candidate of its tier can serve a request: the field, its value, and what would do."""

from merit_dataplane.snapshots.tables import TierPlan
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import names
from merit_dataplane.wire.openai_request import Call


def nobody_can(tier: TierPlan, call: Call) -> RequestError:
    """Every candidate lacks something that the request needs."""
    message, param = _lacking(tier, call)
    return RequestError(400, message, code="no_capable_model", param=param)


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
    return (
        f"{nobody} {field} is {call.output_limit}, and {most} is the most here. Set {field} to {most} or less.",
        field,
    )


def _bounds(max_output_tokens: int, context_window: int, input_tokens: int) -> list[int]:
    bounds = [max_output_tokens] if max_output_tokens else []
    return bounds + ([context_window - input_tokens] if context_window else [])
