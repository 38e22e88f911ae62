"""ModelRoute: the model names that clients ask for, and how requests for them are served."""

from typing import Final, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from merit_crds.v1alpha1.fields import (
    Confidence,
    Duration,
    Fraction,
    HalfLife,
    HeaderName,
    HeaderValue,
    ModelName,
    Name,
    NamespaceGrant,
    ObjectRef,
    Part,
    Pattern,
    Percent,
    Price,
    SmallFraction,
    Tokens,
    checked,
    listed,
)
from merit_crds.v1alpha1.retry import HedgingPolicy, RetryPolicy
from merit_crds.v1alpha1.semantic import SemanticCache
from merit_crds.v1alpha1.stems import Sameness, StemsCache

Feature = Literal["Tools", "Images", "JsonSchema", "Streaming"]


class TokenRange(Part):
    """A range of estimated input tokens; at least one end."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            ("has(self.atLeast) || has(self.below)", "inputTokens needs atLeast, below, or both"),
            ("!(has(self.atLeast) && has(self.below)) || self.atLeast < self.below", "atLeast must be less than below"),
        )
    )

    at_least: Tokens | None = Field(default=None, description="This many or more.")
    below: Tokens | None = Field(default=None, description="Fewer than this many.")

    @model_validator(mode="after")
    def _is_range(self) -> "TokenRange":
        if self.at_least is None and self.below is None:
            raise PydanticCustomError("range", "inputTokens needs atLeast, below, or both")
        if self.at_least is not None and self.below is not None and self.at_least >= self.below:
            raise PydanticCustomError("range", "atLeast must be less than below")
        return self


class HeaderMatch(Part):
    """A request header with exactly this value."""

    name: HeaderName = Field(description="Header name, in any case.")
    value: HeaderValue = Field(description="Exact value.")


_ANY_LISTED = " || ".join(f"(has(self.{name}) && size(self.{name}) > 0)" for name in ("uses", "headers"))
_NEEDS_ONE: Final = "a condition needs inputTokens, uses, headers or lastMessage"


class Condition(Part):
    """True when all that it names holds."""

    model_config = ConfigDict(
        json_schema_extra=checked((f"has(self.inputTokens) || has(self.lastMessage) || {_ANY_LISTED}", _NEEDS_ONE))
    )

    input_tokens: TokenRange | None = Field(default=None, description="Estimated input tokens of the request.")
    uses: tuple[Feature, ...] = Field(
        default=(),
        max_length=4,
        description="Features that the request uses, all of them.",
        json_schema_extra=listed(unique=True),
    )
    headers: tuple[HeaderMatch, ...] = Field(
        default=(), max_length=8, description="Request headers, all of them.", json_schema_extra=listed(keys=("name",))
    )
    last_message: Pattern | None = Field(
        default=None, description="RE2 pattern found in the text of the last user message."
    )

    @model_validator(mode="after")
    def _names_something(self) -> "Condition":
        if self.input_tokens is None and not self.uses and not self.headers and self.last_message is None:
            raise PydanticCustomError("empty_condition", _NEEDS_ONE)
        return self


class CandidateSpec(Part):
    """One (provider, model) that a tier may use."""

    provider: ObjectRef = Field(description="The Provider.")
    model: ModelName = Field(description="The model's name at that provider; it needs a price in a ProviderPricing.")
    accuracy: Fraction | None = Field(
        default=None, description="Share of this tier's requests that it answers well, 0 to 1."
    )


class LatencyObjective(Part):
    """Ceilings on measured latency."""

    percentile: Literal["P50", "P90", "P95", "P99"] = Field(
        default="P95", description="Which percentile must hold; default P95."
    )
    first_token: Duration | None = Field(default=None, description="Time to first token, streamed requests.")
    total: Duration | None = Field(default=None, description="Time to the end of the answer.")


class Objectives(Part):
    """What a candidate must meet."""

    accuracy: Fraction | None = Field(
        default=None, description="Floor; a candidate without a stated accuracy misses it until feedback shows one."
    )
    confidence: Confidence = Field(
        default="0.9",
        description="With which the floor must be met once answers have been scored: the accuracy is at least the "
        "floor with this probability; default 0.9.",
    )
    latency: LatencyObjective | None = Field(default=None, description="Ceilings, from live traffic.")
    when_missed: Literal["BestEffort", "Refuse"] = Field(
        default="BestEffort",
        description="When no candidate meets them. BestEffort: the best one is used, the response says so. "
        "Refuse: nothing is sent to who misses them, the client gets 503; default BestEffort.",
    )


class TierSpec(Part):
    """A class of requests with its candidates and objectives."""

    name: Name = Field(description="Name of the tier, unique in this route.")
    when: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="The tier is taken when one of these holds. Every tier but the last has some; the last has none.",
        json_schema_extra=listed(),
    )
    candidates: tuple[CandidateSpec, ...] = Field(
        min_length=1,
        max_length=64,
        description="Models that may serve this tier, in any order.",
        json_schema_extra=listed(),
    )
    objectives: Objectives | None = Field(default=None, description="What a candidate must meet.")
    expected_output_tokens: Tokens | None = Field(
        default=None, description="Output tokens assumed until traffic has taught better; default 256."
    )


class RouteTimeouts(Part):
    """Narrower limits than the providers' own."""

    first_byte: Duration | None = Field(default=None, description="From an attempt's start to its response's head.")
    first_token: Duration | None = Field(default=None, description="From an attempt's start to a stream's first token.")
    idle: Duration | None = Field(default=None, description="Between two pieces of a body.")
    total: Duration | None = Field(
        default=None,
        description="All attempts together, to the end of the answer or a stream's first token; default 120s.",
    )


_CEILINGS: Final = ("input", "output", "request", "imageInput", "audioInput")
_NAMES_A_CEILING: Final = f"maxPrice needs at least one of {', '.join(_CEILINGS)}"


class MaxPrice(Part):
    """Highest prices, as decimal strings."""

    model_config = ConfigDict(
        json_schema_extra=checked((" || ".join(f"has(self.{name})" for name in _CEILINGS), _NAMES_A_CEILING))
    )

    input: Price | None = Field(default=None, description="USD per million uncached input tokens.")
    output: Price | None = Field(
        default=None,
        description="USD per million output tokens: of text, of reasoning, and of what the request asks for in images "
        "or sound.",
    )
    request: Price | None = Field(default=None, description="USD per call.")
    image_input: Price | None = Field(
        default=None, description="USD per million input tokens of images, for requests that hold some."
    )
    audio_input: Price | None = Field(
        default=None, description="USD per million input tokens of sound, for requests that hold some."
    )

    @model_validator(mode="after")
    def _names_a_ceiling(self) -> "MaxPrice":
        ceilings = (self.input, self.output, self.request, self.image_input, self.audio_input)
        if all(price is None for price in ceilings):
            raise PydanticCustomError("max_price", _NAMES_A_CEILING)
        return self


class Rebalancing(Part):
    """How traffic moves when the merit order changes."""

    hysteresis_percent: Percent = Field(
        default="0",
        description="Who was first stays first while it is at most so much dearer than the cheapest; default 0.",
    )
    ramp: Duration | None = Field(
        default=None,
        description="Time in which the share of a new first candidate grows from 0 to all; default 0s, at once.",
    )


class Exploration(Part):
    """Requests that measure candidates without traffic."""

    share: SmallFraction = Field(
        default="0.01",
        description="Most requests, and most of the expected cost, that may go into measuring candidates whose latency "
        "a ceiling asks for and nobody knows; 0 is off; default 0.01.",
    )


class FeedbackPolicy(Part):
    """How scores of answers (`POST /v1/feedback`) move a candidate's accuracy."""

    prior_weight: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Scored answers that a stated accuracy is worth; default 100.",
    )
    half_life: HalfLife = Field(
        default="336h", description="Age at which a score weighs half; default 336h, two weeks."
    )


class ExactCache(Part):
    """Identical requests share an answer, one that is streamed and one that is not alike."""

    ttl: Duration = Field(description="How long an answer may be served again.")
    stale_while_revalidate: Duration | None = Field(
        default=None,
        description="How long after that it may still be served while it is fetched anew; default 0s.",
    )
    scope: Literal["Consumer", "Route"] = Field(
        default="Consumer",
        description="Whose requests share answers. Consumer: those of one consumer. Route: those of all consumers of "
        "this route, who then may see each other's answers; default Consumer.",
    )
    generation: Name | None = Field(
        default=None, description="Change it to any other name, and no answer that was kept before is served again."
    )
    equal_under: tuple[Sameness, ...] = Field(
        default=(),
        max_length=4,
        description="What may differ between the last user messages of requests that share an answer. Greetings: also "
        "thanks at the end. Punctuation: not within words and numbers. Default: nothing.",
        json_schema_extra=listed(unique=True),
    )


_SERVES_WHAT_EXACT_KEEPS: Final = "cache.semantic needs cache.exact, whose answers it serves"


class CachePolicy(Part):
    """Which answers may be served again."""

    model_config = ConfigDict(
        json_schema_extra=checked(("!has(self.semantic) || has(self.exact)", _SERVES_WHAT_EXACT_KEEPS))
    )

    exact: ExactCache | None = Field(default=None, description="Answers to identical requests; off when absent.")
    stems: StemsCache | None = Field(
        default=None, description="Beginnings of answers to questions that begin alike; off when absent."
    )
    semantic: SemanticCache | None = Field(
        default=None,
        description="Whole answers to questions in other words, some of them wrong; off when absent.",
    )

    @model_validator(mode="after")
    def _keeps_what_it_serves(self) -> "CachePolicy":
        if self.semantic is not None and self.exact is None:
            raise PydanticCustomError("semantic", _SERVES_WHAT_EXACT_KEEPS)
        return self


class TypicalRequest(Part):
    """The request at which status shows the merit order."""

    input_tokens: Tokens = Field(default=300, description="Input tokens; default 300.")
    output_tokens: Tokens = Field(default=60, description="Output tokens; default 60.")


_LAST_TAKES_ALL: Final = "the last tier can't have `when`: it takes every request that no other tier took"
_OTHERS_HAVE_WHEN: Final = "every tier but the last needs `when`, else the tiers below it are never reached"
_UNIQUE_NAMES: Final = "tier names must be unique"
_A_HEDGE_IS_AN_ATTEMPT: Final = "hedging needs retry.attempts of 2 or more, since a hedge is an attempt"


class ModelRouteSpec(Part):
    """The model names that clients ask for, and how requests for them are served."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            (
                "!has(self.hedging) || !has(self.retry) || !has(self.retry.attempts) || self.retry.attempts > 1",
                _A_HEDGE_IS_AN_ATTEMPT,
            )
        )
    )

    models: tuple[ModelName, ...] = Field(
        min_length=1,
        max_length=32,
        description="Model names that clients ask for.",
        json_schema_extra=listed(unique=True),
    )
    tiers: tuple[TierSpec, ...] = Field(
        min_length=1,
        max_length=8,
        description="Tried in this order; the first whose condition holds is taken.",
        json_schema_extra=listed(
            rules=[
                ("!has(self[size(self) - 1].when) || size(self[size(self) - 1].when) == 0", _LAST_TAKES_ALL),
                (
                    "self.all(t, t.name == self[size(self) - 1].name || (has(t.when) && size(t.when) > 0))",
                    _OTHERS_HAVE_WHEN,
                ),
                ("self.all(t, self.exists_one(o, o.name == t.name))", _UNIQUE_NAMES),
            ]
        ),
    )
    timeouts: RouteTimeouts | None = Field(default=None, description="Narrower limits than the providers' own.")
    retry: RetryPolicy | None = Field(default=None, description="How far a request goes down the merit order.")
    hedging: HedgingPolicy | None = Field(
        default=None,
        description="When a request that takes unusually long is given to a second candidate as well; never when "
        "absent.",
    )
    cache: CachePolicy | None = Field(default=None, description="Which answers may be served again.")
    rebalancing: Rebalancing | None = Field(
        default=None, description="How traffic moves when the merit order changes; at once when absent."
    )
    exploration: Exploration | None = Field(
        default=None, description="Requests that measure candidates without traffic; a hundredth when absent."
    )
    feedback: FeedbackPolicy | None = Field(
        default=None, description="How scores of answers move a candidate's accuracy."
    )
    max_price: MaxPrice | None = Field(
        default=None,
        description="No request is sent to a candidate that charges more, at that request's length and hour.",
    )
    steering: Literal["Allowed", "Refused"] = Field(
        default="Allowed",
        description="Whether a request may say, with OpenRouter's `models`, `provider`, `:floor` and `:nitro`, which "
        "of the candidates it wants; default Allowed.",
    )
    cache_marks: Literal["Automatic", "Never"] = Field(
        default="Automatic",
        description="Whether Merit marks long prompts where that is expected to pay, for providers that cache only "
        "what is marked; a client's own marks stand; default Automatic.",
    )
    typical_request: TypicalRequest | None = Field(
        default=None, description="The request at which status shows the merit order; default 300 in, 60 out."
    )
    allowed_namespaces: tuple[NamespaceGrant, ...] = Field(
        default=(),
        max_length=64,
        description="Other namespaces whose Consumers may call this route; '*' is every one.",
        json_schema_extra=listed(unique=True),
    )

    @field_validator("tiers")
    @classmethod
    def _tiers_are_reachable(cls, tiers: tuple[TierSpec, ...]) -> tuple[TierSpec, ...]:
        if len({tier.name for tier in tiers}) < len(tiers):
            raise PydanticCustomError("tiers", _UNIQUE_NAMES)
        if tiers[-1].when:
            raise PydanticCustomError("tiers", _LAST_TAKES_ALL)
        if any(not tier.when for tier in tiers[:-1]):
            raise PydanticCustomError("tiers", _OTHERS_HAVE_WHEN)
        return tiers

    @model_validator(mode="after")
    def _leaves_room_for_a_hedge(self) -> "ModelRouteSpec":
        if self.hedging is not None and self.retry is not None and self.retry.attempts < 2:
            raise PydanticCustomError("hedging", _A_HEDGE_IS_AN_ATTEMPT)
        return self
