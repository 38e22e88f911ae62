"""One line of the usage log: what one request was, what was decided, and what it cost. No text, no key.

The data plane writes it, whoever accounts for it reads it. `docs/reference/usage-log.schema.json` is made from it.
"""

from typing import Annotated, Any

import msgspec

USAGE_LINE_FORMAT = 1
"""Goes up when a field changes its meaning or goes away; a new field doesn't raise it."""

Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Money = Annotated[str, msgspec.Meta(pattern=r"^(-?[0-9]+(\.[0-9]+)?)?$")]
"""Decimal USD, exact; empty where nothing was priced."""


class StampedTokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of special classes. They are disjoint, and counted in the line's input or output tokens too."""

    cache_write_1h: Count = 0
    reasoning: Count = 0
    image_input: Count = 0
    image_output: Count = 0
    audio_input: Count = 0
    cached_audio_input: Count = 0
    audio_output: Count = 0


class StampedSpecialRates(msgspec.Struct, frozen=True):
    """Rates of the special classes: decimal USD per million tokens."""

    cache_write_1h: Money
    reasoning: Money
    image_input: Money
    image_output: Money
    audio_input: Money
    cached_audio_input: Money
    audio_output: Money


class StampedRates(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rates that a request was charged at: decimal USD per million tokens, `request` per call."""

    input: Money
    output: Money
    cached_input: Money
    cache_write: Money
    request: Money = "0"
    special: StampedSpecialRates | None = None
    """Absent: a special class is charged as the plain one that it belongs to."""


class StampedExcess(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rates of the input tokens above a threshold, in decimal USD per million tokens."""

    above: Count
    """Input tokens."""
    input: Money
    cached_input: Money
    cache_write: Money
    special: StampedSpecialRates | None = None


class StampedDraw(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request drew from a commitment."""

    commitment: str
    """Its name in the price list."""
    period: Count
    """When the period began that it was drawn from: epoch seconds."""
    drawn: Money
    """USD, tokens or requests, as the volume is stated; less than `wanted` where it straddles the volume's end."""
    wanted: Money
    fee: Money = "0"
    """USD of the fee that this accounts for; part of the line's effective cost."""


class StampedAttempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt that was paid for and whose answer did not reach its end: broken off, given up, or too late."""

    provider: str
    model: str
    endpoint: str
    outcome: str
    cost: Money
    """USD, at the rates of `price_version`."""
    input_tokens: Count = 0
    output_tokens: Count = 0
    estimated: bool = False
    price_list: str = ""
    price_version: str = ""


class UsageLine(msgspec.Struct, omit_defaults=True):
    """One request. Times are seconds, money is decimal USD, tokens are in classes; what is absent has its default."""

    format: Annotated[int, msgspec.Meta(ge=1, description="Of this line: 1.")]
    time: Annotated[Seconds, msgspec.Meta(description="When the request began: epoch seconds, cut to milliseconds.")]
    request: Annotated[str, msgspec.Meta(description="The id that the client got as `x-merit-request-id`.")]
    status: Annotated[Count, msgspec.Meta(description="HTTP status; 499: the client went away.")]
    duration: Annotated[Seconds, msgspec.Meta(description="To the last byte of the answer.")]
    first_token: Annotated[Seconds, msgspec.Meta(description="To the first byte of a stream; 0: no stream.")] = 0.0
    error: Annotated[str, msgspec.Meta(description="Code of the error that the client got.")] = ""

    operation: Annotated[str, msgspec.Meta(description="Endpoint, as its path under `/v1`.")] = ""
    features: Annotated[
        list[str], msgspec.Meta(description="What the request uses, by the names of a price list's capabilities.")
    ] = []
    expected_input_tokens: Annotated[Count, msgspec.Meta(description="Input tokens as counted before the call.")] = 0
    expected_cached_input_tokens: Annotated[
        Count, msgspec.Meta(description="Input tokens expected from the provider's prompt cache, before the call.")
    ] = 0
    output_limit: Annotated[
        Count, msgspec.Meta(description="Most output tokens of one choice that the request allows; 0: no limit.")
    ] = 0
    choices: Annotated[Count, msgspec.Meta(description="Answers asked for (`n`).")] = 1

    consumer: Annotated[str, msgspec.Meta(description="Who asked: `namespace/name`.")] = ""
    route: Annotated[str, msgspec.Meta(description="What was matched: `namespace/name`.")] = ""
    tier: Annotated[str, msgspec.Meta(description="The tier that it was classified into.")] = ""
    provider: Annotated[str, msgspec.Meta(description="Who answered: `namespace/name`.")] = ""
    model: Annotated[str, msgspec.Meta(description="The vendor's name of the model that answered.")] = ""
    endpoint: Annotated[str, msgspec.Meta(description="Which of its provider's several endpoints answered.")] = ""
    attempts: Annotated[Count, msgspec.Meta(description="Tries made.")] = 0
    failures: Annotated[
        list[str],
        msgspec.Meta(description="Of each failed attempt `provider/endpoint: outcome`; `own_limit`: a limit of ours."),
    ] = []
    objectives_missed: Annotated[bool, msgspec.Meta(description="The candidate misses an objective.")] = False
    placement: Annotated[
        str,
        msgspec.Meta(
            description="Why the cheapest was not first: `exploration`, `hysteresis`, `ramp`; empty where it was."
        ),
    ] = ""
    hedge: Annotated[
        str,
        msgspec.Meta(
            description="A second attempt was begun beside a slow one, and `won`, `lost` or `failed`; empty: none was."
        ),
    ] = ""
    cache: Annotated[str, msgspec.Meta(description="Exact cache: `hit`, `miss`, `bypass`; empty: off.")] = ""

    input_tokens: Annotated[
        Count, msgspec.Meta(description="All input tokens: uncached, cached and written to the provider's cache.")
    ] = 0
    cached_input_tokens: Annotated[
        Count, msgspec.Meta(description="Of these, read from the provider's prompt cache.")
    ] = 0
    cache_write_tokens: Annotated[
        Count, msgspec.Meta(description="Of these, written to the provider's prompt cache.")
    ] = 0
    output_tokens: Annotated[Count, msgspec.Meta(description="Output tokens, reasoning included.")] = 0
    special: Annotated[StampedTokens | None, msgspec.Meta(description="Tokens that may have prices of their own.")] = (
        None
    )
    service_tier: Annotated[
        str, msgspec.Meta(description="Service tier that the provider says it served, else the one asked for.")
    ] = ""
    estimated: Annotated[
        bool, msgspec.Meta(description="The provider reported no usage, or a service tier without a price.")
    ] = False

    cost: Annotated[
        Money, msgspec.Meta(description="What it adds to the vendor's bill, in USD; `lost_cost` is on top.")
    ] = ""
    list_cost: Annotated[
        Money, msgspec.Meta(description="What it costs by the price list alone, where a commitment covers it, in USD.")
    ] = ""
    effective_cost: Annotated[
        Money, msgspec.Meta(description="The cost with its share of what commitments cost used or not, in USD.")
    ] = ""
    commitments: Annotated[list[StampedDraw], msgspec.Meta(description="What it drew from commitments.")] = []
    lost: Annotated[
        list[StampedAttempt],
        msgspec.Meta(description="Attempts that were paid for too, beside the one whose tokens this line has."),
    ] = []
    lost_cost: Annotated[Money, msgspec.Meta(description="What these cost together, in USD.")] = ""
    mid_stream: Annotated[
        str, msgspec.Meta(description="How a stream that broke off went on: `prefix`, `restart`; empty: it did not.")
    ] = ""
    stem_tokens: Annotated[
        Count,
        msgspec.Meta(description="About so many of the answer's first tokens came from a stem: sent, not generated."),
    ] = 0
    expected_cost: Annotated[Money, msgspec.Meta(description="What it was expected to cost, in USD.")] = ""
    similarity: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="Of the other question whose answer it got; 0: it got its own.")
    ] = 0.0
    saved: Annotated[Money, msgspec.Meta(description="What a cache hit would have cost, in USD.")] = ""
    billed_at: Annotated[
        Seconds,
        msgspec.Meta(
            description="The instant whose prices count, where the clock changes it: epoch seconds, cut to millis."
        ),
    ] = 0.0
    rates: Annotated[StampedRates | None, msgspec.Meta(description="The rates that made the cost.")] = None
    excess: Annotated[
        list[StampedExcess], msgspec.Meta(description="Context tiers that price the input above them alone.")
    ] = []
    price_list: Annotated[str, msgspec.Meta(description="The ProviderPricing of these rates: `namespace/name`.")] = ""
    price_version: Annotated[
        str, msgspec.Meta(description="First 12 hex digits of the SHA-256 of that price list's content.")
    ] = ""
    snapshot: Annotated[str, msgspec.Meta(description="First 12 hex digits of the snapshot's version.")] = ""


def json_schema() -> dict[str, Any]:
    """JSON Schema of a line. Readers must allow for fields that they don't know: newer releases add some."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Merit usage log, one line",
        **msgspec.json.schema(UsageLine),
    }
