"""Prices of one model, and those of its long requests."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from merit_crds.v1alpha1.fields import Part, Price, Tokens, checked, listed


class Prices(Part):
    """Decimal strings in USD per million tokens; `request` in USD per call."""

    input: Price = Field(description="Input tokens that the provider did not read from its cache.")
    output: Price = Field(description="Output tokens that no other price is for.")
    cached_input: Price | None = Field(
        default=None, description="Input tokens read from the provider's cache; default: input."
    )
    cache_write: Price | None = Field(
        default=None, description="Input tokens written to the provider's cache; default: input."
    )
    cache_write_1h: Price | None = Field(
        default=None, alias="cacheWrite1h", description="Those that the cache keeps for an hour; default: cacheWrite."
    )
    reasoning: Price | None = Field(default=None, description="Reasoning tokens; default: output.")
    image_input: Price | None = Field(default=None, description="Input tokens of images; default: input.")
    image_output: Price | None = Field(default=None, description="Output tokens of images; default: output.")
    audio_input: Price | None = Field(
        default=None, description="Input tokens of sound; needed with the capability Audio, else default: input."
    )
    cached_audio_input: Price | None = Field(
        default=None,
        description="Those of sound read from the provider's cache; default: audioInput, else cachedInput.",
    )
    audio_output: Price | None = Field(default=None, description="Output tokens of sound; default: output.")
    request: Price | None = Field(default=None, description="Per call, in USD; default 0.")


_NAMES_A_PRICE: Final = "a context tier needs at least one price"
_INPUT: Final = ("input", "cachedInput", "cacheWrite", "cacheWrite1h", "imageInput", "audioInput", "cachedAudioInput")
_OUTPUT: Final = ("output", "reasoning", "imageOutput", "audioOutput")
_OUTPUT_FIELDS: Final = frozenset({"output", "reasoning", "image_output", "audio_output"})
_AS_BELOW: Final = "Default: as in the tier below, where one names it."


class ContextTierPrices(Part):
    """Decimal strings in USD per million tokens; what is left out is charged as in the tier below."""

    model_config = ConfigDict(
        json_schema_extra=checked((" || ".join(f"has(self.{name})" for name in (*_INPUT, *_OUTPUT)), _NAMES_A_PRICE))
    )

    input: Price | None = Field(default=None, description=_AS_BELOW)
    output: Price | None = Field(default=None, description=_AS_BELOW)
    cached_input: Price | None = Field(default=None, description=_AS_BELOW)
    cache_write: Price | None = Field(default=None, description=_AS_BELOW)
    cache_write_1h: Price | None = Field(default=None, alias="cacheWrite1h", description=_AS_BELOW)
    reasoning: Price | None = Field(default=None, description=_AS_BELOW)
    image_input: Price | None = Field(default=None, description=_AS_BELOW)
    image_output: Price | None = Field(default=None, description=_AS_BELOW)
    audio_input: Price | None = Field(default=None, description=_AS_BELOW)
    cached_audio_input: Price | None = Field(default=None, description=_AS_BELOW)
    audio_output: Price | None = Field(default=None, description=_AS_BELOW)

    @model_validator(mode="after")
    def _names_a_price(self) -> "ContextTierPrices":
        if not self.model_fields_set:
            raise PydanticCustomError("empty_prices", _NAMES_A_PRICE)
        return self


_EXCESS_IS_INPUT: Final = "a tier that applies to the Excess can't price output: only input tokens are above it"


class ContextTierSpec(Part):
    """Prices of requests with a long input."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            (
                f"self.applies != 'Excess' || !({' || '.join(f'has(self.prices.{name})' for name in _OUTPUT)})",
                _EXCESS_IS_INPUT,
            )
        )
    )

    above: Tokens = Field(description="Holds for requests of more input tokens than these, of all classes together.")
    applies: Literal["Whole", "Excess"] = Field(
        description="Whole: to the whole request. Excess: to the input tokens above it alone."
    )
    prices: ContextTierPrices = Field(description="USD per million tokens, decimal strings.")

    @model_validator(mode="after")
    def _excess_is_input(self) -> "ContextTierSpec":
        if self.applies == "Excess" and not self.prices.model_fields_set.isdisjoint(_OUTPUT_FIELDS):
            raise PydanticCustomError("excess_output", _EXCESS_IS_INPUT)
        return self


ContextTiers = Annotated[tuple[ContextTierSpec, ...], Field(max_length=8, json_schema_extra=listed(keys=("above",)))]
