"""How far a ModelRoute goes to get an answer: attempts, retries, hedges, what becomes of a stream that breaks off."""

from typing import Literal

from pydantic import Field

from merit_crds.v1alpha1.fields import CostPercent, Duration, Part, Percent, PositivePercent


class RetryPolicy(Part):
    """How far a request goes down the merit order."""

    attempts: int = Field(
        default=6, ge=1, le=16, description="Most attempts of one request, up to the first token; default 6."
    )
    budget_percent: Percent = Field(
        default="20",
        description="An account that failed a request is asked again for it only while such retries are at most so "
        "many percent of the route's requests, and ten in ten seconds, per pod; default 20.",
    )
    longest_wait: Duration | None = Field(
        default=None,
        description="An account that asks to be left alone for no longer than this is waited for, once; the next "
        "candidate is asked at once when it asks for more; default 2s, 0s never waits.",
    )
    mid_stream: Literal["Continue", "Restart", "Fail"] = Field(
        default="Continue",
        description="When a stream breaks off. Continue: a candidate with the capability AssistantPrefix goes on from "
        "there. Restart: where there is none, another one begins anew, and what the client already has is left out as "
        "long as both agree. Fail: the client gets an error event; default Continue.",
    )


class HedgingPolicy(Part):
    """When a request that takes unusually long is given to a second candidate as well; the first good answer counts."""

    after: Literal["P50", "P90", "P95", "P99"] = Field(
        default="P95",
        description="How long the first attempt is waited for: this percentile of what the route's requests took with "
        "that candidate, to a stream's first token or to the end of a whole answer; default P95. As long as fewer than "
        "20 requests are known there is no hedge.",
    )
    max_extra_cost_percent: CostPercent = Field(
        default="200",
        description="No hedge is sent that is expected to cost more than so many percent of what the first attempt is "
        "expected to cost; default 200.",
    )
    max_share_percent: PositivePercent = Field(
        default="10",
        description="Hedges are at most so many percent of the route's requests, per pod; default 10. They count in "
        "retry.budgetPercent, too.",
    )
