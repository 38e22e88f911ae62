"""What a pod has learned from its traffic. Outlives snapshots: a price change forgets no latency, closes no circuit."""

from merit_dataplane.metering.expectation import ExpectedOutput, TierOutput
from merit_dataplane.metering.latency import Latency
from merit_dataplane.resilience.account import AccountLimits
from merit_dataplane.resilience.health import EndpointHealth


class Learned:
    """Of one candidate in one tier of one route."""

    __slots__ = ("expected_output", "first_token", "total")

    def __init__(self, tier: TierOutput):
        self.expected_output = ExpectedOutput(tier)
        self.first_token = Latency()
        self.total = Latency()


class Live:
    """Everything learned, by what it is of. `retain` drops what the snapshot no longer names, so it stays bounded."""

    def __init__(self) -> None:
        self._endpoints: dict[tuple[str, str, str], EndpointHealth] = {}
        self._accounts: dict[str, AccountLimits] = {}
        self._tiers: dict[tuple[str, str], TierOutput] = {}
        self._learned: dict[tuple[str, str, str, str], Learned] = {}

    def endpoint(self, provider: str, endpoint: str, url: str) -> EndpointHealth:
        """Health of an endpoint; another URL is another endpoint."""
        return self._endpoints.setdefault((provider, endpoint, url), EndpointHealth())

    def account(self, provider: str) -> AccountLimits:
        """Limits and cool-down of a provider."""
        return self._accounts.setdefault(provider, AccountLimits())

    def learned(self, route: str, tier: str, provider: str, model: str, expected_output_tokens: int) -> Learned:
        """What traffic has taught of a candidate."""
        key = (route, tier, provider, model)
        found = self._learned.get(key)
        if found is None:
            pool = self._tiers.setdefault((route, tier), TierOutput(expected_output_tokens))
            found = self._learned[key] = Learned(pool)
        return found

    def retain(self, providers: set[str], routes: set[str]) -> None:
        """Forgets providers and routes that are gone."""
        self._endpoints = {k: v for k, v in self._endpoints.items() if k[0] in providers}
        self._accounts = {k: v for k, v in self._accounts.items() if k in providers}
        self._tiers = {k: v for k, v in self._tiers.items() if k[0] in routes}
        self._learned = {k: v for k, v in self._learned.items() if k[0] in routes and k[2] in providers}
