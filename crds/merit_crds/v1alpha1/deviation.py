"""What is charged instead of a model's usual prices."""

from typing import Final

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from merit_crds.v1alpha1.fields import Part, Percent, checked
from merit_crds.v1alpha1.prices import ContextTiers, Prices

_ONE_OF_TWO: Final = "needs either prices or percentOff"
_TIERS_OF_PRICES: Final = "contextTiers go with prices: percentOff is taken off the model's own tiers"


class Deviation(Part):
    """What is charged instead of a model's usual prices: prices of its own, or a percentage less."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            ("has(self.prices) != has(self.percentOff)", _ONE_OF_TWO),
            ("has(self.prices) || !has(self.contextTiers)", _TIERS_OF_PRICES),
        )
    )

    prices: Prices | None = Field(default=None, description="USD per million tokens, decimal strings.")
    context_tiers: ContextTiers | None = Field(
        default=None, description="Those of `prices`. A model with context tiers needs them here too: [] are none."
    )
    percent_off: Percent | None = Field(default=None, description="Percent off each price, context tiers included.")

    @model_validator(mode="after")
    def _one_of_two(self) -> "Deviation":
        if (self.prices is None) == (self.percent_off is None):
            raise PydanticCustomError("deviation", _ONE_OF_TWO)
        if self.prices is None and self.context_tiers is not None:
            raise PydanticCustomError("deviation", _TIERS_OF_PRICES)
        return self
