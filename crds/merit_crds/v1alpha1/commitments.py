"""Commitments: what has been bought of a vendor ahead, and is paid whether it is used or not."""

from typing import Final, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from merit_crds.v1alpha1.deviation import Deviation
from merit_crds.v1alpha1.fields import (
    Amount,
    Duration,
    Instant,
    ModelName,
    Name,
    Part,
    TimeZone,
    Volume,
    Weight,
    checked,
    listed,
)

_ONE_VOLUME: Final = "needs exactly one of prepaid, minimumSpend, tokens, inputTokens, outputTokens and requests"
_WEIGHTS_OF_TOKENS: Final = "weights go with tokens: they say how much of it a token of each class takes"
_VOLUMES: Final = {
    "prepaid": "prepaid",
    "minimum_spend": "minimumSpend",
    "tokens": "tokens",
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "requests": "requests",
}


class WeightsSpec(Part):
    """How many tokens of the volume one token of a class takes, such as 4 for output where a vendor counts it so."""

    input: Weight | None = Field(default=None, description="Of input tokens; default 1.")
    cached_input: Weight | None = Field(
        default=None, description="Of input tokens read from the provider's cache; default: input."
    )
    cache_write: Weight | None = Field(
        default=None, description="Of input tokens written to the provider's cache; default: input."
    )
    output: Weight | None = Field(default=None, description="Of output tokens; default 1.")


class VolumeSpec(Part):
    """How much is committed to, for each period."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            (f"{' + '.join(f'(has(self.{name}) ? 1 : 0)' for name in _VOLUMES.values())} == 1", _ONE_VOLUME),
            ("has(self.tokens) || !has(self.weights)", _WEIGHTS_OF_TOKENS),
        )
    )

    prepaid: Amount | None = Field(
        default=None, description="Paid ahead; requests are drawn from it at the rates of `committed`."
    )
    minimum_spend: Amount | None = Field(
        default=None,
        description="Requests are billed at the rates of `committed`; what is missing to it is billed too.",
    )
    tokens: Volume | None = Field(default=None, description="Tokens of input and output, by `weights`.")
    input_tokens: Volume | None = Field(default=None, description="Input tokens; output is charged as usual.")
    output_tokens: Volume | None = Field(default=None, description="Output tokens; input is charged as usual.")
    requests: Volume | None = Field(default=None, description="Calls.")
    weights: WeightsSpec | None = Field(default=None, description="Of `tokens`; by default each token is one.")

    @model_validator(mode="after")
    def _one_volume(self) -> "VolumeSpec":
        if sum(getattr(self, name) is not None for name in _VOLUMES) != 1:
            raise PydanticCustomError("volume", _ONE_VOLUME)
        if self.weights is not None and self.tokens is None:
            raise PydanticCustomError("weights", _WEIGHTS_OF_TOKENS)
        return self


_ONE_PERIOD: Final = "needs either calendar or length"
_ZONE_OF_CALENDAR: Final = "timeZone goes with calendar: its clock says when a month begins"


class RenewalSpec(Part):
    """When a volume begins anew. What is left of the one before is lost."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            ("has(self.calendar) != has(self.length)", _ONE_PERIOD),
            ("has(self.calendar) == has(self.timeZone)", _ZONE_OF_CALENDAR),
        )
    )

    calendar: Literal["Month"] | None = Field(default=None, description="With each month of the calendar.")
    time_zone: TimeZone | None = Field(default=None, description="IANA time zone by whose clock months begin.")
    length: Duration | None = Field(
        default=None, description="After so long, counted from `starts` on; whole seconds, at least 1m."
    )

    @model_validator(mode="after")
    def _one_period(self) -> "RenewalSpec":
        if (self.calendar is None) == (self.length is None):
            raise PydanticCustomError("period", _ONE_PERIOD)
        if (self.calendar is None) != (self.time_zone is None):
            raise PydanticCustomError("period", _ZONE_OF_CALENDAR)
        return self


class FeeSpec(Part):
    """What the volume costs, used or not."""

    amount: Amount = Field(description="In the currency of this list.")
    per: Duration | None = Field(
        default=None, description="For so long, such as 1h or 24h, at least 1m; for each period, if absent."
    )


_ENDS: Final = "needs a period or expires: else nobody can tell until when its volume should last"
_FEE: Final = "tokens and requests need a fee: what is paid for them, used or not"
_NO_FEE: Final = "minimumSpend is what is paid: take fee out"
_OVERAGE: Final = "committed needs overage beside it: what is charged once the volume is spent"
_ONE_MODEL: Final = "prices of committed or overage need models with exactly one model: use percentOff for several"

_PRICED: Final = " || ".join(f"has(self.{name}) && has(self.{name}.prices)" for name in ("committed", "overage"))


class CommitmentSpec(Part):
    """One contract: a volume, what it costs, and what is charged within it and beyond."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            ("has(self.period) || has(self.expires)", _ENDS),
            ("has(self.fee) || has(self.volume.prepaid) || has(self.volume.minimumSpend)", _FEE),
            ("!has(self.fee) || !has(self.volume.minimumSpend)", _NO_FEE),
            ("!has(self.committed) || has(self.overage)", _OVERAGE),
            (f"!({_PRICED}) || has(self.models) && self.models.size() == 1", _ONE_MODEL),
        )
    )

    name: Name = Field(description="Name in accounts and metrics; a new name is a new volume.")
    models: tuple[ModelName, ...] = Field(
        default=(),
        max_length=64,
        description="Models of this list that it covers; all of them, if absent.",
        json_schema_extra=listed(unique=True),
    )
    starts: Instant = Field(description="Instant from which it holds, inclusive; periods of a length begin there.")
    expires: Instant | None = Field(default=None, description="Instant from which it no longer holds.")
    period: RenewalSpec | None = Field(
        default=None, description="When its volume begins anew; if absent it is one volume until `expires`."
    )
    volume: VolumeSpec = Field(description="How much is committed to, for each period.")
    fee: FeeSpec | None = Field(
        default=None, description="What it costs, used or not; with prepaid, by default the amount itself."
    )
    committed: Deviation | None = Field(
        default=None,
        description="What is charged within the volume: by default the list's prices with prepaid and minimumSpend, "
        "which are spent at them, and nothing for tokens and requests.",
    )
    overage: Deviation | None = Field(
        default=None, description="What is charged once it is spent; by default the list's prices."
    )

    @model_validator(mode="after")
    def _is_complete(self) -> "CommitmentSpec":
        money = self.volume.prepaid is not None or self.volume.minimum_spend is not None
        priced = any(rates is not None and rates.prices is not None for rates in (self.committed, self.overage))
        for wrong, words in (
            (self.period is None and self.expires is None, _ENDS),
            (self.fee is None and not money, _FEE),
            (self.fee is not None and self.volume.minimum_spend is not None, _NO_FEE),
            (self.committed is not None and self.overage is None, _OVERAGE),
            (priced and len(self.models) != 1, _ONE_MODEL),
        ):
            if wrong:
                raise PydanticCustomError("commitment", words)
        return self
