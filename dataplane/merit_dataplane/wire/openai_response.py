"""An answer in the OpenAI protocol: its usage, and OpenRouter's `usage.cost` put into it."""

from typing import Any

import msgspec

from merit_crds.pricing import CostDetails, SpecialTokens, Usage, usd

_encode = msgspec.json.Encoder().encode
_USAGE = b'"usage"'
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


# whole floats are what a vendor writes whose counter went through a language without integers
class _CacheWrites(msgspec.Struct):
    ephemeral_1h_input_tokens: int | float | None = None


class _CachedDetails(msgspec.Struct):
    audio_tokens: int | float | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | float | None = None
    cache_write_tokens: int | float | None = None
    cache_creation_tokens: int | float | None = None
    """The same in LiteLLM's words."""
    cache_creation_token_details: _CacheWrites | None = None
    audio_tokens: int | float | None = None
    image_tokens: int | float | None = None
    cached_tokens_details: _CachedDetails | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | float | None = None
    audio_tokens: int | float | None = None
    image_tokens: int | float | None = None


_NO_INPUT, _NO_OUTPUT = _InputDetails(), _OutputDetails()


class _Usage(msgspec.Struct):
    prompt_tokens: int | float | None = None
    completion_tokens: int | float | None = None
    total_tokens: int | float | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | float | None = None
    """DeepSeek's word for `cached_tokens`; older answers have no other."""
    num_cached_tokens: int | float | None = None
    """Mistral's."""
    service_tier: Any = None
    """Where Mistral says it."""


class _Answer(msgspec.Struct):
    usage: _Usage | None = None
    service_tier: Any = None


class _AnyAnswer(msgspec.Struct):
    pass


class _Given(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"")


_answer = msgspec.json.Decoder(_Answer)
_given = msgspec.json.Decoder(_Given)
_any_answer = msgspec.json.Decoder(_AnyAnswer)


def usage_of(body: bytes) -> Usage | None:
    """Tokens in disjoint classes, as the provider reported them; None where it reported none, or none that can be.

    Most vendors count reasoning in the output, and cached tokens in the input. Those that don't are known by their
    total, which is more than input and output. What it has beyond them is billed: xAI's `cost_in_usd_ticks` says so.

    Raises ValueError when the body is no JSON object.
    """
    try:
        answer = _answer.decode(body)
    except msgspec.ValidationError:
        _any_answer.decode(body)  # a usage of another shape makes no answer worthless
        return None
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    usage = answer.usage
    if usage is None:
        return None
    served = answer.service_tier if isinstance(answer.service_tier, str) else usage.service_tier
    try:
        return _reported(usage, served if isinstance(served, str) else "")
    except OverflowError:  # a count beyond all floats
        return None


def _reported(usage: _Usage, served: str) -> Usage | None:
    output, total = int(usage.completion_tokens or 0), int(usage.total_tokens or 0)
    if usage.prompt_tokens is not None:
        prompt = int(usage.prompt_tokens)
    elif usage.total_tokens is not None:  # embeddings of Voyage
        prompt = total - output
    else:
        return None
    if prompt < 0 or output < 0:
        return None
    of_input, of_output = usage.prompt_tokens_details, usage.completion_tokens_details
    hit = usage.num_cached_tokens if usage.prompt_cache_hit_tokens is None else usage.prompt_cache_hit_tokens
    if of_input is None and of_output is None and not hit and total <= prompt + output:
        return Usage(prompt, output, service_tier=served)
    of_input, of_output = of_input or _NO_INPUT, of_output or _NO_OUTPUT
    cached = int(hit or 0) if of_input.cached_tokens is None else int(of_input.cached_tokens)
    written = int(of_input.cache_write_tokens or of_input.cache_creation_tokens or 0)
    reasoning = int(of_output.reasoning_tokens or 0)
    beyond = total - prompt - output
    if beyond > 0:
        if beyond == cached + written:  # gateways that speak for Bedrock: its cache is not in its input
            prompt += beyond
        elif reasoning in {0, beyond}:  # xAI; Gemini, which doesn't name them
            reasoning = beyond
            output += beyond
    if reasoning or cached < 0 or written < 0 or _has_special(of_input, of_output):
        return _classified(prompt, output, (cached, written, reasoning), of_input, of_output, served)
    cached = min(prompt, cached)
    written = min(prompt - cached, written)
    return Usage(prompt - cached - written, output, cached, written, None, served)


def _has_special(of_input: _InputDetails, of_output: _OutputDetails) -> bool:
    return bool(
        of_input.audio_tokens
        or of_input.image_tokens
        or of_input.cache_creation_token_details
        or of_input.cached_tokens_details
        or of_output.audio_tokens
        or of_output.image_tokens
    )


def _classified(  # noqa: PLR0917 # what was reported, and what of it is certain
    prompt: int,
    output: int,
    known: tuple[int, int, int],
    of_input: _InputDetails,
    of_output: _OutputDetails,
    served: str,
) -> Usage | None:
    """Disjoint classes: what a vendor counts in two of them, or beyond the whole, is counted once."""
    cached, written, reasoning = known
    hour = of_input.cache_creation_token_details
    written_1h = int((hour and hour.ephemeral_1h_input_tokens) or 0)
    audio, image = int(of_input.audio_tokens or 0), int(of_input.image_tokens or 0)
    heard = of_input.cached_tokens_details
    cached_audio = int((heard and heard.audio_tokens) or 0)
    spoken, drawn = int(of_output.audio_tokens or 0), int(of_output.image_tokens or 0)
    if min(cached, written, written_1h, audio, image, cached_audio, reasoning, spoken, drawn) < 0:
        return None
    cached = min(prompt, cached)
    written = min(prompt - cached, max(written, written_1h))
    written_1h = min(written, written_1h)
    rest = prompt - cached - written
    # where it isn't told, what is cached is presumed to be text
    cached_audio = min(cached, audio, max(cached_audio, audio - rest))
    audio = min(rest, audio - cached_audio)
    image = min(rest - audio, image)
    reasoning = min(output, reasoning)
    spoken = min(output - reasoning, spoken)
    drawn = min(output - reasoning - spoken, drawn)
    special = SpecialTokens(written_1h, reasoning, image, drawn, audio, cached_audio, spoken)
    return Usage(
        uncached_input=rest - audio - image,
        output=output - reasoning - spoken - drawn,
        cached_input=cached - cached_audio,
        cache_write=written - written_1h,
        special=special if any(special) else None,
        service_tier=served,
    )


def decoded(body: bytes) -> dict[str, msgspec.Raw] | None:
    """The fields of a JSON object, each as its bytes; None where it is none."""
    try:
        return _fields.decode(body)
    except (ValueError, RecursionError):
        return None


def with_cost(body: bytes, cost: CostDetails, estimated: Usage | None = None, *, total: str = "") -> bytes:
    """The body with `usage.cost` (USD) and `usage.cost_details`; every other field keeps its bytes.

    `effective_cost` is there where commitments cover the model: the cost with its share of what is paid in any case.

    `estimated` is what was booked where the provider reported nothing: SDKs refuse a `usage` without its counts.
    A body with a key that is no UTF-8 stays as it is. `total`: the cost in USD, where it has been written already.
    """
    total = total or usd(cost.total)
    try:
        if estimated is None and (at := _end_of_usage(body)):
            return b'%b,"cost":%b,"cost_details":%b%b' % (body[:at], total.encode(), _details(cost, total), body[at:])
        fields = _fields.decode(body)
    except (ValueError, RecursionError):
        return body
    given = fields.get("usage")
    usage = _fields.decode(given) if given is not None and bytes(given)[:1] == b"{" else {}
    if estimated is not None:
        counts = (estimated.input, estimated.all_output, estimated.input + estimated.all_output)
        for name, count in zip(("prompt_tokens", "completion_tokens", "total_tokens"), counts, strict=True):
            usage.setdefault(name, msgspec.Raw(b"%d" % count))
    usage["cost"], usage["cost_details"] = msgspec.Raw(total.encode()), msgspec.Raw(_details(cost, total))
    fields["usage"] = msgspec.Raw(_encode(usage))
    return _encode(fields)


def _end_of_usage(body: bytes) -> int:
    """Where the closing brace of the usage stands, so that what is put before it leaves all other bytes as they are.

    0 where that can't be told at a glance. Raises ValueError for no JSON object, RecursionError.
    """
    usage = bytes(_given.decode(body).usage)
    key = body.rfind(_USAGE)
    at = body.find(b"{", key)
    end = at + len(usage)
    if key < 0 or body[at:end] != usage or b'"cost' in usage or b"\\" in usage or not usage[1:-1].strip():
        return 0
    # in a text its quotes would be escaped; and where one brace is left to be closed, it is no other object's
    unique = body.count(b"}", end) == 1 or body.find(_USAGE, 0, key) < 0
    return end - 1 if unique else 0


def _details(cost: CostDetails, total: str) -> bytes:
    effective = "" if cost.amortised is None else f',"effective_cost":{usd(cost.effective)}'
    return (
        f'{{"upstream_inference_cost":{total},"upstream_inference_prompt_cost":{usd(cost.input)},'
        f'"upstream_inference_completions_cost":{usd(cost.output)}{effective}}}'
    ).encode()
