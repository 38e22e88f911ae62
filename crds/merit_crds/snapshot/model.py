"""Entries of the snapshot. Keys are `namespace/name`; times are milliseconds; money is pico-dollars.

Every entry carries the generation that it was compiled from, so that a pod's ACK of a version says which generations
it serves. A pod refuses fields that it does not know, rather than serve a price or a limit half understood.
"""

import msgspec

from merit_crds.snapshot.authentication import Scheme
from merit_crds.snapshot.entry import CredentialRef, Entry


class Endpoint(Entry, frozen=True):
    """One place where a provider is reached."""

    name: str
    url: str
    region: str = ""


class ProviderEntry(Entry, frozen=True):
    """One account at one vendor."""

    generation: int
    protocol: str
    endpoints: tuple[Endpoint, ...]
    vendor: str = ""
    """Whose differences from the protocol count; empty: by the endpoints' host."""
    api_key: CredentialRef | None = None
    """Sent as the protocol wants it."""
    authentication: Scheme | None = None
    """Any other way than `api_key`."""
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    """Parameters of every URL; not secret."""
    connect_ms: int = 2_000
    first_byte_ms: int = 30_000
    first_byte_per_token_ms: int = 100
    """More, for each output token that is expected of an answer which is not streamed."""
    first_token_ms: int = 10_000
    idle_ms: int = 15_000
    total_ms: int = 120_000
    concurrent_requests: int = 0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    """Of all pods together; 0 is no limit."""
    assistant_prefix: str = "LastMessage"
    """How the beginning of an answer is given: also PrefixField, ContinueFinalMessage."""


class SpecialRates(Entry, frozen=True):
    """Pico-dollars per token of the classes that few models price apart."""

    cache_write_1h: int
    reasoning: int
    image_input: int
    image_output: int
    audio_input: int
    cached_audio_input: int
    audio_output: int


class Rates(Entry, frozen=True):
    """Pico-dollars per token; `request` in pico-dollars per call."""

    input: int
    output: int
    cached_input: int
    cache_write: int
    request: int = 0
    special: SpecialRates | None = None
    """None: those classes are charged as the plain class that each of them belongs to."""


class ContextTier(Entry, frozen=True):
    """Rates of a long input; complete, whatever of them the price list left out."""

    above: int
    """Input tokens: it holds for more than these."""
    excess: bool
    """Prices the input tokens above it alone, not the whole request; `rates.output` then counts for nothing."""
    rates: Rates


class Charge(Entry, frozen=True):
    """What a model costs at one time in one service tier, for requests of any length."""

    rates: Rates
    context_tiers: tuple[ContextTier, ...] = ()
    """By ascending `above`."""


class ServiceTier(Charge, frozen=True, kw_only=True):
    """What a model costs in another service tier than the standard one."""

    name: str


class Tariff(Charge, frozen=True):
    """What a model costs at one time."""

    service_tiers: tuple[ServiceTier, ...] = ()


class Window(Entry, frozen=True):
    """Hours of some days."""

    days: int
    """Bits of the days on which it starts: 0 is Monday, 6 is Sunday, 7 is a holiday, whatever its day of the week."""
    start: int
    end: int
    """Seconds since midnight by the zone's clock; it ends on the next day where the end is not after the start."""


class Schedule(Entry, frozen=True):
    """Hours of the week, and what a model costs in them."""

    name: str
    time_zone: str
    windows: tuple[Window, ...]
    tariff: Tariff
    holidays: tuple[int, ...] = ()
    """Days since 1970, in the time zone."""


class Period(Tariff, frozen=True, kw_only=True):
    """What a model costs for a time."""

    start: int
    end: int = 0
    """Epoch seconds, start inclusive, end exclusive; an end of 0 is none."""
    schedules: tuple[Schedule, ...] = ()
    """The first that holds counts."""


class ModelPrice(Tariff, frozen=True, kw_only=True):
    """One model of a price list. Its own tariff holds where no period and no schedule does."""

    capabilities: tuple[str, ...] = ()
    context_window: int = 0
    """Tokens; 0 is unknown."""
    max_output_tokens: int = 0
    schedules: tuple[Schedule, ...] = ()
    """The first that holds counts."""
    periods: tuple[Period, ...] = ()
    """By ascending start. Of those that hold the last counts, and with it none of the schedules above."""
    billed_by_completion: bool = False
    """Which instant of a request says what it is billed by: that of its end, else that of its start."""


class TokenWeights(Entry, frozen=True):
    """How much of a volume of tokens a token of each class takes, in millionths."""

    input: int = 1_000_000
    cached_input: int = 1_000_000
    cache_write: int = 1_000_000
    output: int = 1_000_000


class Terms(Entry, frozen=True):
    """What is charged within a commitment's volume, or beyond it."""

    ppm: int = 1_000_000
    """Of what the price list says, in millionths."""
    charge: Charge | None = None
    """Takes the place of the list's in the standard service tier, where there is one."""


class Commitment(Entry, frozen=True):
    """A volume that is paid whether it is used or not."""

    name: str
    models: tuple[str, ...]
    unit: str
    """`usd`, `tokens` or `requests`."""
    volume: int
    """Per period: micro-dollars, tokens or requests."""
    start: int
    end: int = 0
    """Epoch seconds, start inclusive, end exclusive; an end of 0 is none."""
    months_of: str = ""
    """The time zone by whose clock a period is a month of the calendar; empty where it is not."""
    seconds: int = 0
    """How long a period is, from `start` on; 0 where it is a month, or all of the time until `end`."""
    covers: str = "all"
    """`all`, or of a request's tokens and their cost the `input` or the `output` alone."""
    weights: TokenWeights | None = None
    """Of tokens; None: each is one."""
    fee: int = 0
    """Micro-dollars, used or not."""
    fee_seconds: int = 0
    """For how long that is paid; 0: for a period, however long it is."""
    minimum: bool = False
    """Billed as it is used, and what is missing to it after the period."""
    within: Terms = Terms()
    beyond: Terms = Terms()


class PricingEntry(Entry, frozen=True):
    """What one provider charges."""

    generation: int
    provider: str
    models: dict[str, ModelPrice]
    commitments: tuple[Commitment, ...] = ()
    """By name."""


class Candidate(Entry, frozen=True):
    """One (provider, model) that a tier may use; its provider and price are in the same snapshot."""

    provider: str
    model: str
    accuracy: float = 0.0


class TierCondition(Entry, frozen=True):
    """True when all that it names holds."""

    at_least: int = 0
    below: int = 0
    """Estimated input tokens; 0 is no bound."""
    uses: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """Lower-case names and exact values."""
    last_message: str = ""
    """RE2 pattern."""


class Tier(Entry, frozen=True):
    """A class of requests."""

    name: str
    candidates: tuple[Candidate, ...]
    when: tuple[TierCondition, ...] = ()
    accuracy: float = 0.0
    """Floor; 0 is none."""
    percentile: int = 95
    first_token_ms: int = 0
    total_ms: int = 0
    """Latency ceilings; 0 is none."""
    expected_output_tokens: int = 256
    refuses: bool = False
    """Sends nothing to a candidate that misses an objective."""
    confidence: float = 0.9
    """With which the floor must be met, once answers have been scored."""


class PriceCeilings(Entry, frozen=True):
    """Highest prices: pico-dollars per token, `request` in pico-dollars per call; None is no ceiling."""

    input: int | None = None
    output: int | None = None
    request: int | None = None
    image_input: int | None = None
    audio_input: int | None = None
    """Of requests that hold images, or sound."""


class Stems(Entry, frozen=True):
    """How beginnings of answers are shared."""

    threshold: float = 0.95
    """Least share of held-out answers that begin as the stem does."""
    held_out_ppm: int = 100_000
    """Of the requests that a stem would serve, in millionths."""
    normalise: tuple[str, ...] = ()
    """What does not matter in a question; sorted."""
    shared: bool = False
    """By all consumers of the route."""
    ttl_ms: int = 604_800_000
    """A stem that no answer confirms for so long is forgotten."""
    generation: str = ""


class Semantic(Entry, frozen=True):
    """How questions in other words share an answer."""

    embeddings: str
    """`namespace/name` of the route that makes the embeddings."""
    similarity: float
    """Least cosine similarity."""
    timeout_ms: int = 200
    """Most that an embedding is waited for."""


class Hedging(Entry, frozen=True):
    """When a second candidate is asked as well."""

    percentile: int = 95
    """Of what the route's requests took with the first one."""
    extra_cost_ppm: int = 2_000_000
    """Most that the second is expected to cost, in millionths of the first's expected cost."""
    share_ppm: int = 100_000
    """Most hedges, in millionths of the requests."""


class RouteEntry(Entry, frozen=True):
    """How requests for some model names are served."""

    generation: int
    models: tuple[str, ...]
    tiers: tuple[Tier, ...]
    attempts: int = 6
    first_byte_ms: int = 0
    first_token_ms: int = 0
    idle_ms: int = 0
    """Narrower than the provider's; 0 is the provider's own."""
    total_ms: int = 120_000
    cache_ttl_ms: int = 0
    """Exact cache; 0 is off."""
    cache_stale_ms: int = 0
    """After that, while the answer is fetched anew."""
    cache_shared: bool = False
    """By all consumers of the route."""
    cache_generation: str = ""
    cache_equal_under: tuple[str, ...] = ()
    """What may differ between last user messages that share an answer; sorted."""
    stems: Stems | None = None
    """None: no beginnings are shared."""
    semantic: Semantic | None = None
    """None: every question is its own."""
    typical_input_tokens: int = 300
    typical_output_tokens: int = 60
    max_price: PriceCeilings | None = None
    hysteresis_ppm: int = 0
    """How much dearer than the cheapest who was first may be and stay first, in millionths."""
    ramp_ms: int = 0
    """In which the share of a new first candidate grows to all; 0 is at once."""
    exploration_ppm: int = 10_000
    """Most requests that explore, in millionths."""
    prior_weight: int = 100
    """Scored answers that a stated accuracy is worth."""
    score_half_life_s: int = 1_209_600
    """Age at which a score weighs half, in seconds."""
    retry_budget_ppm: int = 200_000
    """Most retries, in millionths of the requests."""
    longest_wait_ms: int = 2_000
    """Longest Retry-After that is waited for."""
    mid_stream: str = "Continue"
    """What becomes of a stream that breaks off: also Restart, Fail."""
    hedging: Hedging | None = None
    steerable: bool = True
    """Whether clients may steer their requests."""
    cache_marks: bool = True
    """Whether prompts are marked for providers that cache only what is marked."""
    allowed_namespaces: tuple[str, ...] = ()


class Budget(Entry, frozen=True):
    """What a consumer may spend in a period of the calendar."""

    months: bool
    """Months, else days."""
    amount: int
    """Pico-dollars."""
    time_zone: str = "UTC"
    tier_when_spent: str = ""
    """Serves when it is spent; empty: nobody does."""


class ConsumerEntry(Entry, frozen=True):
    """Who may call which routes, how often, and for how much. Limits are the whole fleet's; 0 is none."""

    generation: int
    api_keys: tuple[CredentialRef, ...]
    routes: tuple[str, ...]
    """`namespace/name`, or `namespace/*` for all of a namespace."""
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent_requests: int = 0
    budgets: tuple[Budget, ...] = ()
    cache_generation: str = ""


class Snapshot(Entry, frozen=True):
    """All that a pod needs, apart from the values of credentials."""

    format: int
    providers: dict[str, ProviderEntry] = msgspec.field(default_factory=dict)
    pricings: dict[str, PricingEntry] = msgspec.field(default_factory=dict)
    routes: dict[str, RouteEntry] = msgspec.field(default_factory=dict)
    consumers: dict[str, ConsumerEntry] = msgspec.field(default_factory=dict)
