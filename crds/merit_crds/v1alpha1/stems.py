"""Stems: beginnings of answers that are given to the next model, so that it writes only the rest."""

from typing import Literal

from pydantic import Field

from merit_crds.v1alpha1.fields import Confidence, Duration, Name, Part, listed

Sameness = Literal["Case", "WhiteSpace", "Greetings", "Punctuation"]
"""What may differ between two questions that are the same question."""


class StemsCache(Part):
    """Questions that begin alike share how their answers begin; candidates with AssistantPrefix write the rest."""

    threshold: Confidence = Field(
        default="0.95",
        description="A stem is used only while answers to the held-out share begin with it at least this often, with a "
        "confidence of 90 %; default 0.95.",
    )
    held_out_percent: int = Field(
        default=10,
        ge=1,
        le=50,
        description="Of the requests that a stem would serve, those that are answered without it and compared; "
        "default 10.",
    )
    normalise: tuple[Literal[Sameness, "Numbers", "Names"], ...] = Field(
        default=("Case", "WhiteSpace", "Greetings", "Punctuation"),
        max_length=6,
        description="What does not matter in a question. Numbers: those of six digits or more, or three after a #, "
        "beside which no currency or date stands. Names: words in capitals inside of a sentence, and addresses. Both "
        "only once answers to three different ones began alike. Default Case, WhiteSpace, Greetings, Punctuation.",
        json_schema_extra=listed(unique=True),
    )
    scope: Literal["Consumer", "Route"] = Field(
        default="Consumer",
        description="Whose requests share stems. Consumer: those of one consumer. Route: those of all consumers of "
        "this route, who then may see how each other's answers begin; default Consumer.",
    )
    ttl: Duration = Field(default="168h", description="A stem that no answer confirms for so long is forgotten.")
    generation: Name | None = Field(
        default=None, description="Change it to any other name, and all stems are learned anew."
    )
