"""The price of one request on one candidate (DESIGN.md, section 4).

uncached_input x input + cached_input x cachedInput + cache_write x cacheWrite + output x output + request
"""

from typing import NamedTuple

from merit_crds.snapshot.model import Rates

PICO = 1_000_000_000_000


class Usage(NamedTuple):
    """Tokens of one request in disjoint classes: no token is in two of them."""

    uncached_input: int
    output: int
    cached_input: int = 0
    cache_write: int = 0

    @property
    def input(self) -> int:
        """All input tokens."""
        return self.uncached_input + self.cached_input + self.cache_write


class CostDetails(NamedTuple):
    """Pico-dollars by component; they add up to the cost."""

    input: int
    output: int
    request: int

    @property
    def total(self) -> int:
        """The cost, in pico-dollars."""
        return self.input + self.output + self.request


def cost(rates: Rates, usage: Usage) -> int:
    """Pico-dollars for one request."""
    return (
        usage.uncached_input * rates.input
        + usage.cached_input * rates.cached_input
        + usage.cache_write * rates.cache_write
        + usage.output * rates.output
        + rates.request
    )


def cost_details(rates: Rates, usage: Usage) -> CostDetails:
    """Pico-dollars for one request, by component."""
    return CostDetails(
        input=usage.uncached_input * rates.input
        + usage.cached_input * rates.cached_input
        + usage.cache_write * rates.cache_write,
        output=usage.output * rates.output,
        request=rates.request,
    )


def usd(pico: int) -> str:
    """Pico-dollars as an exact decimal string in USD, e.g. `0.000081`."""
    whole, rest = divmod(abs(pico), PICO)
    return f"{'-' if pico < 0 else ''}{whole}.{rest:012d}".rstrip("0").rstrip(".")
