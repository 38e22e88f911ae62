"""An answer in the OpenAI protocol: its usage, and OpenRouter's `usage.cost` put into it."""

import msgspec

from merit_crds.pricing import CostDetails, Usage, usd

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)


def usage_of(body: bytes) -> Usage | None:
    """Tokens in disjoint classes, as the provider reported them; None where it reported none.

    Raises msgspec.MsgspecError when the body is no JSON object.
    """
    usage = _answer.decode(body).usage
    if usage is None or usage.prompt_tokens is None:
        return None
    details = usage.prompt_tokens_details
    cached = min(usage.prompt_tokens, (details and details.cached_tokens) or 0)
    written = min(usage.prompt_tokens - cached, (details and details.cache_write_tokens) or 0)
    return Usage(
        uncached_input=usage.prompt_tokens - cached - written,
        output=usage.completion_tokens or 0,
        cached_input=cached,
        cache_write=written,
    )


def with_cost(body: bytes, cost: CostDetails) -> bytes:
    """The body with `usage.cost` (USD) and `usage.cost_details`; every other field keeps its bytes."""
    fields = _fields.decode(body)
    given = fields.get("usage")
    usage = _fields.decode(given) if given is not None and bytes(given) != b"null" else {}
    total = usd(cost.total)
    usage["cost"] = msgspec.Raw(total.encode())
    usage["cost_details"] = msgspec.Raw(
        f'{{"upstream_inference_cost":{total},"upstream_inference_prompt_cost":{usd(cost.input)},'
        f'"upstream_inference_completions_cost":{usd(cost.output)}}}'.encode()
    )
    fields["usage"] = msgspec.Raw(_encode(usage))
    return _encode(fields)
