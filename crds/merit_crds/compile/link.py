"""References between entries. What can't be resolved is left out, and its resource is told so; nothing else changes."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from pydantic.alias_generators import to_camel

from merit_crds.compile.authentication import account_key_fault
from merit_crds.compile.translate import Entry
from merit_crds.conditions import Reason
from merit_crds.credentials import fingerprint
from merit_crds.resources import ResourceId, Secrets
from merit_crds.snapshot.authentication import keys_of
from merit_crds.snapshot.entry import CredentialRef
from merit_crds.snapshot.model import (
    ConsumerEntry,
    PricingEntry,
    ProviderEntry,
    RouteEntry,
    Snapshot,
    Tier,
)

SHORTEST_CONSUMER_KEY = 16
Unresolved = tuple[Reason, str]
Prices = set[tuple[str, str]]
"""Key of a provider and a model that it has a price for."""
_EntryT = TypeVar("_EntryT", ProviderEntry, PricingEntry, RouteEntry, ConsumerEntry)


class Linker:
    """Links the entries of one compile; `unresolved` collects what is missing, by resource.

    `known` are all resources that exist, usable or not; `grants` the namespaces that each lets in.
    """

    def __init__(
        self,
        *,
        entries: Mapping[ResourceId, Entry],
        known: frozenset[ResourceId],
        grants: Mapping[ResourceId, tuple[str, ...]],
        secrets: Secrets,
    ):
        self._entries, self._known, self._grants, self._secrets = entries, known, grants, secrets
        self._key_owners: dict[str, ResourceId] = {}
        self.unresolved: dict[ResourceId, list[Unresolved]] = {}

    def link(self, format_: int) -> Snapshot:
        """The snapshot of everything that resolves."""
        providers = self._linked("Provider", ProviderEntry, self._provider)
        pricings = self._linked("ProviderPricing", PricingEntry, lambda i, e: self._pricing(i, e, providers))
        priced = {(p.provider, model) for p in pricings.values() for model in p.models}
        routes = self._linked("ModelRoute", RouteEntry, lambda i, e: self._route(i, e, providers, priced))
        routes = self._with_embeddings(routes, pricings)
        consumers = self._linked("Consumer", ConsumerEntry, lambda i, e: self._consumer(i, e, routes))
        return Snapshot(format=format_, providers=providers, pricings=pricings, routes=routes, consumers=consumers)

    def _linked(
        self, kind: str, of: type[_EntryT], link: Callable[[ResourceId, _EntryT], _EntryT | None]
    ) -> dict[str, _EntryT]:
        linked = {}
        for resource_id, entry in self._entries.items():
            if resource_id.kind == kind and isinstance(entry, of):
                result = link(resource_id, entry)
                if result is not None:
                    linked[resource_id.key] = result
        return dict(sorted(linked.items()))

    def _miss(self, resource_id: ResourceId, reason: Reason, message: str) -> None:
        self.unresolved.setdefault(resource_id, []).append((reason, message))

    def _granted(self, owner: ResourceId, kind: str, key: str) -> bool:
        """Whether `owner` may name that resource: its own namespace's always, else where it is let in."""
        namespace, name = key.split("/", 1)
        allowed = self._grants.get(ResourceId(kind, namespace, name), ())
        return namespace == owner.namespace or "*" in allowed or owner.namespace in allowed

    def _knows(self, kind: str, key: str) -> bool:
        return ResourceId(kind, *key.split("/", 1)) in self._known

    def _provider(self, owner: ResourceId, entry: ProviderEntry) -> ProviderEntry | None:
        if entry.api_key is not None:
            value = self._secret(owner, "spec.credentials.apiKey", entry.api_key.ref, _key_fault)
            return None if value is None else msgspec.structs.replace(entry, api_key=_with(entry.api_key, value))
        scheme = entry.authentication
        if scheme is None or not (keys := keys_of(scheme)):
            return entry
        found = {}
        for name, key in keys.items():
            fault = account_key_fault if name == "service_account_key" else _key_fault
            where = f"spec.credentials.{scheme.__struct_config__.tag}.{to_camel(name)}"
            if (value := self._secret(owner, where, key.ref, fault)) is not None:
                found[name] = _with(key, value)
        if len(found) < len(keys):
            return None
        return msgspec.structs.replace(entry, authentication=msgspec.structs.replace(scheme, **found))

    def _pricing(
        self, owner: ResourceId, entry: PricingEntry, providers: Mapping[str, ProviderEntry]
    ) -> PricingEntry | None:
        if entry.provider in providers:
            return entry
        reason, words = self._no_provider(entry.provider)
        self._miss(owner, reason, f"spec.providerRef: {words}")
        return None

    def _no_provider(self, provider: str) -> Unresolved:
        if self._knows("Provider", provider):
            return Reason.PROVIDER_NOT_READY, f"Provider {provider} is not usable: see its status"
        return Reason.PROVIDER_NOT_FOUND, f"there is no Provider {provider}: create it"

    def _route(
        self, owner: ResourceId, entry: RouteEntry, providers: Mapping[str, ProviderEntry], priced: Prices
    ) -> RouteEntry:
        local = f"{owner.namespace}/"
        if all(
            (c.provider, c.model) in priced and c.provider.startswith(local) for t in entry.tiers for c in t.candidates
        ):
            return entry  # most are like this, of thousands; and the same object is known to be unchanged
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

    def _with_embeddings(
        self, routes: Mapping[str, RouteEntry], pricings: Mapping[str, PricingEntry]
    ) -> dict[str, RouteEntry]:
        """Who asks for the semantic layer and names nobody that makes embeddings goes without it."""
        asking = {key: entry.semantic.embeddings for key, entry in routes.items() if entry.semantic is not None}
        linked = dict(routes)
        if not asking:
            return linked
        embed = {
            (pricing.provider, model)
            for pricing in pricings.values()
            for model, price in pricing.models.items()
            if "Embeddings" in price.capabilities
        }
        for key, named in asking.items():
            if named not in routes:
                why = Reason.ROUTE_NOT_FOUND, f"there is no usable ModelRoute {named}"
            elif not any((c.provider, c.model) in embed for tier in routes[named].tiers for c in tier.candidates):
                why = Reason.NO_EMBEDDINGS, f"no candidate of ModelRoute {named} has the capability Embeddings"
            else:
                continue
            owner = ResourceId("ModelRoute", *key.split("/", 1))
            self._miss(owner, why[0], f"spec.cache.semantic.embeddings: {why[1]}")
            linked[key] = msgspec.structs.replace(routes[key], semantic=None)
        return linked

    def _why_not(
        self, owner: ResourceId, provider: str, model: str, providers: Mapping[str, ProviderEntry], priced: Prices
    ) -> Unresolved | None:
        if not self._granted(owner, "Provider", provider):
            # the same words whether it exists or not: another namespace's names are not this one's business
            words = f"Provider {provider} does not exist or its allowedNamespaces lacks {owner.namespace!r}"
            return Reason.REF_NOT_PERMITTED, words
        if provider not in providers:
            return self._no_provider(provider)
        if (provider, model) not in priced:
            words = f"no ProviderPricing prices {model!r} of {provider}: add it, an unknown price is never zero"
            return Reason.PRICE_NOT_FOUND, words
        return None

    def _consumer(
        self, owner: ResourceId, entry: ConsumerEntry, routes: Mapping[str, RouteEntry]
    ) -> ConsumerEntry | None:
        keys = [self._consumer_key(owner, f"spec.apiKeys[{i}]", key) for i, key in enumerate(entry.api_keys)]
        usable = tuple(key for key in keys if key is not None)
        allowed = []
        for i, route in enumerate(entry.routes):
            if route.endswith("/*"):
                allowed.append(route)
            elif not self._granted(owner, "ModelRoute", route):
                words = f"ModelRoute {route} does not exist or its allowedNamespaces lacks {owner.namespace!r}"
                self._miss(owner, Reason.REF_NOT_PERMITTED, f"spec.routes[{i}]: {words}")
            elif route not in routes:
                self._miss(owner, Reason.ROUTE_NOT_FOUND, f"spec.routes[{i}]: there is no usable ModelRoute {route}")
            else:
                allowed.append(route)
        return msgspec.structs.replace(entry, api_keys=usable, routes=tuple(allowed)) if usable else None

    def _consumer_key(self, owner: ResourceId, field: str, credential: CredentialRef) -> CredentialRef | None:
        value = self._secret(owner, field, credential.ref, _consumer_key_fault)
        if value is None:
            return None
        first = self._key_owners.setdefault(value, owner)
        if first != owner:  # who it is must never be a matter of chance
            name = str(first) if first.namespace == owner.namespace else "Consumer in another namespace"
            self._miss(owner, Reason.KEY_CONFLICT, f"{field}: an older one, {name}, has the same key: use another")
            return None
        return _with(credential, value)

    def _secret(self, owner: ResourceId, field: str, ref: str, fault_of: Callable[[str], str]) -> str | None:
        namespace, name, key = ref.split("/", 2)
        where = f"{field}: Secret {namespace}/{name}"
        secret = self._secrets.get((namespace, name))
        if secret is None:
            self._miss(owner, Reason.SECRET_NOT_FOUND, f"{where} does not exist: create it")
            return None
        if key not in secret:
            have = ", ".join(sorted(secret)[:8]) or "none"
            self._miss(owner, Reason.SECRET_NOT_FOUND, f"{where} has no key {key!r} (has {have})")
            return None
        value = secret[key]
        if fault := fault_of(value):
            self._miss(owner, Reason.SECRET_INVALID, f"{where}: the value of key {key!r} {fault}")
            return None
        return value


def _key_fault(value: str, shortest: int = 1) -> str:
    if len(value) < shortest or not value.isascii() or not value.isprintable() or " " in value:
        return f"must be printable ASCII without spaces or line breaks, {shortest} or more characters"
    return ""


def _consumer_key_fault(value: str) -> str:
    return _key_fault(value, SHORTEST_CONSUMER_KEY)


def _with(credential: CredentialRef, value: str) -> CredentialRef:
    return msgspec.structs.replace(credential, fingerprint=fingerprint(value))
