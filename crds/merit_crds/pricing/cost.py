"""The price of one request on one candidate (DESIGN.md, section 4).

uncached_input x input + cached_input x cachedInput + cache_write x cacheWrite + output x output + request,
and the same for each special class of tokens. The classes are disjoint.
"""

from typing import NamedTuple

from merit_crds.snapshot.model import Rates, SpecialRates

PICO = 1_000_000_000_000


class SpecialTokens(NamedTuple):
    """Tokens of the classes that few models price apart: no token is in two of them."""

    cache_write_1h: int = 0
    reasoning: int = 0
    image_input: int = 0
    image_output: int = 0
    audio_input: int = 0
    cached_audio_input: int = 0
    audio_output: int = 0

    @property
    def input(self) -> int:
        """Input tokens of these."""
        return self.cache_write_1h + self.image_input + self.audio_input + self.cached_audio_input

    @property
    def output(self) -> int:
        """Output tokens of these."""
        return self.reasoning + self.image_output + self.audio_output


class Usage(NamedTuple):
    """Tokens of one request in disjoint classes: no token is in two of them, nor in `special` as well."""

    uncached_input: int
    output: int
    cached_input: int = 0
    cache_write: int = 0
    special: SpecialTokens | None = None
    service_tier: str = ""
    """In which the provider says that it served the request; empty where it says none."""

    def totals(self) -> tuple[int, int, int, int]:
        """All input tokens; those of them that were read from a cache, and written to one; all output tokens."""
        uncached, output, cached, written, special, _ = self
        if special is not None:
            return self.input, self.all_cached, self.all_written, self.all_output
        return uncached + cached + written, cached, written, output

    @property
    def input(self) -> int:
        """All input tokens."""
        plain = self.uncached_input + self.cached_input + self.cache_write
        return plain if self.special is None else plain + self.special.input

    @property
    def all_cached(self) -> int:
        """All input tokens that the provider read from its cache."""
        return self.cached_input if self.special is None else self.cached_input + self.special.cached_audio_input

    @property
    def all_written(self) -> int:
        """All input tokens that the provider wrote to its cache."""
        return self.cache_write if self.special is None else self.cache_write + self.special.cache_write_1h

    @property
    def all_output(self) -> int:
        """All output tokens."""
        return self.output if self.special is None else self.output + self.special.output


class CostDetails(NamedTuple):
    """Pico-dollars by component; they add up to the cost."""

    input: int
    output: int
    request: int
    amortised: int | None = None
    """What of a commitment's fee it accounts for besides, which is paid with it or without; None: draws from none."""

    @property
    def total(self) -> int:
        """The cost, in pico-dollars."""
        return self.input + self.output + self.request

    @property
    def effective(self) -> int:
        """With what is amortised."""
        return self.input + self.output + self.request + (self.amortised or 0)


def special_rates(rates: Rates) -> SpecialRates:
    """What the special classes cost, also where they have no rates of their own."""
    return rates.special or SpecialRates(
        cache_write_1h=rates.cache_write,
        reasoning=rates.output,
        image_input=rates.input,
        image_output=rates.output,
        audio_input=rates.input,
        cached_audio_input=rates.cached_input,
        audio_output=rates.output,
    )


def cost(rates: Rates, usage: Usage) -> int:
    """Pico-dollars for one request."""
    return cost_details(rates, usage).total


def cost_details(rates: Rates, usage: Usage) -> CostDetails:
    """Pico-dollars for one request, by component."""
    of_input = (
        usage.uncached_input * rates.input
        + usage.cached_input * rates.cached_input
        + usage.cache_write * rates.cache_write
    )
    if (special := usage.special) is not None:
        dear = special_rates(rates)
        of_input += (
            special.cache_write_1h * dear.cache_write_1h
            + special.image_input * dear.image_input
            + special.audio_input * dear.audio_input
            + special.cached_audio_input * dear.cached_audio_input
        )
    of_output = usage.output * rates.output if special is None else output_cost(rates, usage)
    return CostDetails(of_input, of_output, rates.request)


def output_cost(rates: Rates, usage: Usage) -> int:
    """Pico-dollars for the output."""
    of_output = usage.output * rates.output
    if (special := usage.special) is not None:
        dear = special_rates(rates)
        of_output += (
            special.reasoning * dear.reasoning
            + special.image_output * dear.image_output
            + special.audio_output * dear.audio_output
        )
    return of_output


def usd(pico: int) -> str:
    """Pico-dollars as an exact decimal string in USD, e.g. `0.000081`."""
    if 0 < pico < PICO:
        return "0." + f"{pico:012d}".rstrip("0")
    if pico <= 0:
        return "-" + usd(-pico) if pico else "0"
    whole, rest = divmod(pico, PICO)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".")
