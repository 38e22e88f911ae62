"""References between entries. What can't be resolved is left out, and its resource is told so; nothing else changes."""

from collections.abc import Mapping

import msgspec

from merit_crds.compile.translate import Entry
from merit_crds.conditions import Reason
from merit_crds.credentials import fingerprint
from merit_crds.resources import ResourceId, Secrets
from merit_crds.snapshot.model import (
    ConsumerEntry,
    CredentialRef,
    PricingEntry,
    ProviderEntry,
    RouteEntry,
    Snapshot,
    Tier,
)

SHORTEST_CONSUMER_KEY = 16
Unresolved = tuple[Reason, str]
Grants = Mapping[str, tuple[str, ...]]
"""Key of a provider to the namespaces that may use it."""


class Linker:
    """Links the entries of one compile; `unresolved` collects what is missing, by resource."""

    def __init__(
        self, *, entries: Mapping[ResourceId, Entry], known: Mapping[str, set[str]], grants: Grants, secrets: Secrets
    ):
        self._entries = entries
        self._known = known
        """Kind to keys of all resources that exist, usable or not."""
        self._grants = grants
        self._secrets = secrets
        self.unresolved: dict[ResourceId, list[Unresolved]] = {}

    def link(self, format_: int) -> Snapshot:
        """The snapshot of everything that resolves."""
        providers = self._linked("Provider", ProviderEntry, self._provider)
        pricings = self._linked("ProviderPricing", PricingEntry, lambda i, e: self._pricing(i, e, providers))
        priced = {(p.provider, model) for p in pricings.values() for model in p.models}
        routes = self._linked("ModelRoute", RouteEntry, lambda i, e: self._route(i, e, providers, priced))
        consumers = self._linked("Consumer", ConsumerEntry, lambda i, e: self._consumer(i, e, routes))
        return Snapshot(format=format_, providers=providers, pricings=pricings, routes=routes, consumers=consumers)

    def _linked(self, kind, of, link):  # type: ignore[no-untyped-def] # one shape for four entry types
        linked = {}
        for resource_id, entry in self._entries.items():
            if resource_id.kind == kind and isinstance(entry, of):
                result = link(resource_id, entry)
                if result is not None:
                    linked[resource_id.key] = result
        return linked

    def _miss(self, resource_id: ResourceId, reason: Reason, message: str) -> None:
        self.unresolved.setdefault(resource_id, []).append((reason, message))

    def _credential(
        self, owner: ResourceId, field: str, credential: CredentialRef, *, shortest: int = 1
    ) -> CredentialRef | None:
        namespace, name, key = credential.ref.split("/", 2)
        secret = self._secrets.get((namespace, name))
        if secret is None:
            self._miss(owner, Reason.SECRET_NOT_FOUND, f"{field}: there is no Secret {namespace}/{name}: create it")
            return None
        if key not in secret:
            have = ", ".join(sorted(secret)[:8]) or "none"
            self._miss(
                owner, Reason.SECRET_NOT_FOUND, f"{field}: Secret {namespace}/{name} has no key {key!r} (has {have})"
            )
            return None
        value = secret[key]
        if len(value) < shortest or not value.isascii() or not value.isprintable() or " " in value:
            fix = f"must be at least {shortest} printable ASCII characters without spaces or line breaks"
            self._miss(
                owner, Reason.SECRET_INVALID, f"{field}: the value in Secret {namespace}/{name} key {key!r} {fix}"
            )
            return None
        return msgspec.structs.replace(credential, fingerprint=fingerprint(value))

    def _provider(self, owner: ResourceId, entry: ProviderEntry) -> ProviderEntry | None:
        if entry.api_key is None:
            return entry
        credential = self._credential(owner, "spec.credentials.apiKey", entry.api_key)
        return msgspec.structs.replace(entry, api_key=credential) if credential else None

    def _pricing(
        self, owner: ResourceId, entry: PricingEntry, providers: Mapping[str, ProviderEntry]
    ) -> PricingEntry | None:
        if entry.provider in providers:
            return entry
        if entry.provider in self._known["Provider"]:
            self._miss(
                owner,
                Reason.PROVIDER_NOT_READY,
                f"spec.providerRef: Provider {entry.provider} is not usable: see its status",
            )
        else:
            self._miss(
                owner, Reason.PROVIDER_NOT_FOUND, f"spec.providerRef: there is no Provider {entry.provider}: create it"
            )
        return None

    def _route(
        self,
        owner: ResourceId,
        entry: RouteEntry,
        providers: Mapping[str, ProviderEntry],
        priced: set[tuple[str, str]],
    ) -> RouteEntry:
        tiers: list[Tier] = []
        for t, tier in enumerate(entry.tiers):
            usable = []
            for c, candidate in enumerate(tier.candidates):
                why = self._why_not(owner, candidate.provider, candidate.model, providers, priced)
                if why is None:
                    usable.append(candidate)
                else:
                    self._miss(owner, why[0], f"spec.tiers[{t}].candidates[{c}]: {why[1]}")
            tiers.append(msgspec.structs.replace(tier, candidates=tuple(usable)))
        return msgspec.structs.replace(entry, tiers=tuple(tiers))

    def _why_not(
        self,
        owner: ResourceId,
        provider: str,
        model: str,
        providers: Mapping[str, ProviderEntry],
        priced: set[tuple[str, str]],
    ) -> Unresolved | None:
        namespace = provider.split("/", 1)[0]
        if namespace != owner.namespace and not _granted(self._grants.get(provider, ()), owner.namespace):
            # the same words whether it exists or not: another namespace's names are not this one's business
            return (
                Reason.REF_NOT_PERMITTED,
                f"Provider {provider} does not exist or its allowedNamespaces lacks {owner.namespace!r}",
            )
        if provider not in providers:
            if provider in self._known["Provider"]:
                return Reason.PROVIDER_NOT_READY, f"Provider {provider} is not usable: see its status"
            return Reason.PROVIDER_NOT_FOUND, f"there is no Provider {provider}: create it"
        if (provider, model) not in priced:
            return (
                Reason.PRICE_NOT_FOUND,
                f"no ProviderPricing prices {model!r} of {provider}: add it; an unknown price is never zero",
            )
        return None

    def _consumer(
        self, owner: ResourceId, entry: ConsumerEntry, routes: Mapping[str, RouteEntry]
    ) -> ConsumerEntry | None:
        keys = [
            self._credential(owner, f"spec.apiKeys[{i}]", key, shortest=SHORTEST_CONSUMER_KEY)
            for i, key in enumerate(entry.api_keys)
        ]
        usable = tuple(key for key in keys if key is not None)
        allowed = []
        for i, route in enumerate(entry.routes):
            namespace, name = route.split("/", 1)
            if name == "*":
                allowed.append(route)
            elif namespace != owner.namespace and not (
                route in routes and _granted(routes[route].allowed_namespaces, owner.namespace)
            ):
                words = f"spec.routes[{i}]: ModelRoute {route} does not exist or its allowedNamespaces lacks {owner.namespace!r}"
                self._miss(owner, Reason.REF_NOT_PERMITTED, words)
            elif route not in routes:
                self._miss(owner, Reason.ROUTE_NOT_FOUND, f"spec.routes[{i}]: there is no usable ModelRoute {route}")
            else:
                allowed.append(route)
        return msgspec.structs.replace(entry, api_keys=usable, routes=tuple(allowed)) if usable else None


def _granted(namespaces: tuple[str, ...], namespace: str) -> bool:
    return "*" in namespaces or namespace in namespaces
