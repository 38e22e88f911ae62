"""Prices of one model, and those of its long requests."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from merit_crds.v1alpha1.fields import Part, Price, Tokens, checked, listed


class Prices(Part):
    """Decimal strings in USD per million tokens; `request` in USD per call."""

    input: Price = Field(description="Input tokens that the provider did not read from its cache.")
    output: Price = Field(description="Output tokens, reasoning included.")
    cached_input: Price | None = Field(
        default=None, description="Input tokens read from the provider's cache; default: input."
    )
    cache_write: Price | None = Field(
        default=None, description="Input tokens written to the provider's cache; default: input."
    )
    request: Price | None = Field(default=None, description="Per call, in USD; default 0.")


_NAMES_A_PRICE: Final = "a context tier needs at least one of input, output, cachedInput, cacheWrite"


class ContextTierPrices(Part):
    """Decimal strings in USD per million tokens; what is left out is charged as in the tier below."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            (
                " || ".join(f"has(self.{name})" for name in ("input", "output", "cachedInput", "cacheWrite")),
                _NAMES_A_PRICE,
            )
        )
    )

    input: Price | None = Field(default=None, description="Input tokens; default: as in the tier below.")
    output: Price | None = Field(default=None, description="Output tokens; default: as in the tier below.")
    cached_input: Price | None = Field(
        default=None, description="Default: as in the tier below; this tier's input where no tier below names it."
    )
    cache_write: Price | None = Field(
        default=None, description="Default: as in the tier below; this tier's input where no tier below names it."
    )

    @model_validator(mode="after")
    def _names_a_price(self) -> "ContextTierPrices":
        if self.input is None and self.output is None and self.cached_input is None and self.cache_write is None:
            raise PydanticCustomError("empty_prices", _NAMES_A_PRICE)
        return self


_EXCESS_IS_INPUT: Final = "a tier that applies to the Excess can't price output: only input tokens are above it"


class ContextTierSpec(Part):
    """Prices of requests with a long input."""

    model_config = ConfigDict(
        json_schema_extra=checked(("self.applies != 'Excess' || !has(self.prices.output)", _EXCESS_IS_INPUT))
    )

    above: Tokens = Field(description="Holds for requests of more input tokens than these, of all classes together.")
    applies: Literal["Whole", "Excess"] = Field(
        description="Whole: to the whole request. Excess: to the input tokens above it alone."
    )
    prices: ContextTierPrices = Field(description="USD per million tokens, decimal strings.")

    @model_validator(mode="after")
    def _excess_is_input(self) -> "ContextTierSpec":
        if self.applies == "Excess" and self.prices.output is not None:
            raise PydanticCustomError("excess_output", _EXCESS_IS_INPUT)
        return self


ContextTiers = Annotated[tuple[ContextTierSpec, ...], Field(max_length=8, json_schema_extra=listed(keys=("above",)))]
