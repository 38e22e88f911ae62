"""What a price list says of one model: between the readers and the writer. Prices are exact decimals."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from decimal import Decimal
from typing import Any, NamedTuple

MILLION = Decimal(1_000_000)
NO_CLASS = "is no price per token of a class that ProviderPricing has"
Prices = Mapping[str, Decimal]
"""By class, named as in ProviderPricing (input, output, cachedInput …): USD per million tokens; `request` per call."""


class Unsaid(NamedTuple):
    """Something of a source that no ProviderPricing says."""

    path: str
    """Where it stands in the source, e.g. `gpt-4o.output_cost_per_image`."""
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason} (is {self.value})"


@dataclass(frozen=True, slots=True)
class ContextTier:
    """Prices of requests with more input tokens than `above`, charged for the whole request."""

    above: int
    prices: Prices


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a model costs."""

    prices: Prices
    context_tiers: tuple[ContextTier, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of some days, as ProviderPricing writes them; no days: every day."""

    start: str
    end: str
    days: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a model costs at certain hours."""

    name: str
    time_zone: str
    windows: tuple[Window, ...]
    tariff: Tariff


@dataclass(frozen=True, slots=True)
class Period:
    """What a model costs from an instant on, e.g. `2026-09-01T00:00:00Z`."""

    valid_from: str
    tariff: Tariff


@dataclass(frozen=True, slots=True)
class Quote:
    """One model of one provider."""

    provider: str
    model: str
    path: str
    """Its key in the source."""
    tariff: Tariff
    service_tiers: Mapping[str, Tariff] = dataclass_field(default_factory=dict)
    schedules: tuple[Schedule, ...] = ()
    periods: tuple[Period, ...] = ()
    capabilities: frozenset[str] | None = None
    """None where the source doesn't say."""
    context_window: int = 0
    """Tokens; 0 where the source doesn't say. So is `max_output_tokens`."""
    max_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """A price list as it was read."""

    quotes: tuple[Quote, ...]
    unsaid: tuple[Unsaid, ...]

    @classmethod
    def of(cls, quotes: Iterable[Quote], unsaid: Iterable[Unsaid]) -> "Listing":
        """In a fixed order, whatever the order of the source."""
        return cls(
            tuple(sorted(quotes, key=lambda q: (q.provider, q.model, q.path))),
            tuple(sorted(unsaid)),
        )


class UnreadableError(ValueError):
    """The document is not of the source that was named: says what was expected where."""


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """The value, which has to be a JSON object. Raises UnreadableError."""
    if not isinstance(value, Mapping):
        raise UnreadableError(f"{what} must be an object, is {type(value).__name__}: is this file of that source?")
    return value


def number(value: Any) -> Decimal | None:
    """A JSON number, read as Decimal, or a string that is one; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        made = Decimal(value)
    except ArithmeticError:
        return None
    return made if made.is_finite() else None


def prices_of(
    fields: Mapping[str, Any], classes: Mapping[str, str], path: str, unsaid: list[Unsaid], *, tokens_per_price: int
) -> dict[str, Decimal]:
    """Prices of the classes that fields are named after, for a source that prices so many tokens at once.

    What is no such price, and not 0, is added to `unsaid`.
    """
    made = {}
    for field, value in fields.items():
        price, name = number(value), classes.get(field)
        if price is not None and name is not None:
            made[name] = price if name == "request" else price * (MILLION / tokens_per_price)
        elif price != 0:
            unsaid.append(Unsaid(f"{path}.{field}", told(value), NO_CLASS))
    return made


def tokens(value: Any) -> int:
    """A count of tokens; 0 where the source has none that is one."""
    made = number(value)
    return int(made) if made is not None and made >= 1 and made == made.to_integral_value() else 0


def told(value: Any) -> str:
    """A source's value as people read it: short, decimals without exponents."""
    text = f"{value:f}" if isinstance(value, Decimal) else value if isinstance(value, str) else _compact(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _compact(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {told(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(told, value)) + "]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
