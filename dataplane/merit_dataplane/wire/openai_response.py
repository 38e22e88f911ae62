"""An answer in the OpenAI protocol: its usage, and OpenRouter's `usage.cost` put into it."""

import msgspec

from merit_crds.pricing import CostDetails, Usage, usd

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


# whole floats are what a vendor writes whose counter went through a language without integers
class _InputDetails(msgspec.Struct):
    cached_tokens: int | float | None = None
    cache_write_tokens: int | float | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | float | None = None
    completion_tokens: int | float | None = None
    prompt_tokens_details: _InputDetails | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


class _AnyAnswer(msgspec.Struct):
    pass


_answer = msgspec.json.Decoder(_Answer)
_any_answer = msgspec.json.Decoder(_AnyAnswer)


def usage_of(body: bytes) -> Usage | None:
    """Tokens in disjoint classes, as the provider reported them; None where it reported none, or none that can be.

    Raises ValueError when the body is no JSON object.
    """
    try:
        usage = _answer.decode(body).usage
    except msgspec.ValidationError:
        _any_answer.decode(body)  # a usage of another shape makes no answer worthless
        return None
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if usage is None or usage.prompt_tokens is None:
        return None
    prompt, output = int(usage.prompt_tokens), int(usage.completion_tokens or 0)
    details = usage.prompt_tokens_details
    if details is None:
        return Usage(prompt, output) if prompt >= 0 and output >= 0 else None
    cached, written = int(details.cached_tokens or 0), int(details.cache_write_tokens or 0)
    if min(prompt, output, cached, written) < 0:
        return None
    cached = min(prompt, cached)
    written = min(prompt - cached, written)
    return Usage(uncached_input=prompt - cached - written, output=output, cached_input=cached, cache_write=written)


def with_cost(body: bytes, cost: CostDetails) -> bytes:
    """The body with `usage.cost` (USD) and `usage.cost_details`; every other field keeps its bytes.

    A body with a key that is no UTF-8 stays as it is.
    """
    try:
        fields = _fields.decode(body)
    except ValueError:
        return body
    given = fields.get("usage")
    usage = _fields.decode(given) if given is not None and bytes(given)[:1] == b"{" else {}
    total = usd(cost.total)
    usage["cost"] = msgspec.Raw(total.encode())
    usage["cost_details"] = msgspec.Raw(
        f'{{"upstream_inference_cost":{total},"upstream_inference_prompt_cost":{usd(cost.input)},'
        f'"upstream_inference_completions_cost":{usd(cost.output)}}}'.encode()
    )
    fields["usage"] = msgspec.Raw(_encode(usage))
    return _encode(fields)
