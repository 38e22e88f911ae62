"""CustomResourceDefinitions: names, columns, status, and the schema of each kind's spec."""

from typing import Any, NamedTuple

from merit_crds import GROUP, VERSION
from merit_crds.conditions import ConditionType
from merit_crds.schema import Schema, structural
from merit_crds.v1alpha1 import SPECS


class Names(NamedTuple):
    """What a kind is called."""

    plural: str
    singular: str
    short: str


NAMES = {
    "Provider": Names("providers", "provider", "mprov"),
    "ProviderPricing": Names("providerpricings", "providerpricing", "mprice"),
    "ModelRoute": Names("modelroutes", "modelroute", "mroute"),
    "Consumer": Names("consumers", "consumer", "mcons"),
}
_DESCRIPTIONS = {
    "Provider": "One account at one LLM vendor: protocol, endpoints, credentials, limits.",
    "ProviderPricing": "What a provider charges, per model.",
    "ModelRoute": "The model names that clients ask for, and how requests for them are served.",
    "Consumer": "Who may call which routes, with which key.",
}
MOST_RANKED = 8 * 64
"""Entries of a status's merit order: a route's most tiers times a tier's most candidates."""


def crd_documents() -> list[dict[str, Any]]:
    """The four CustomResourceDefinitions, in a fixed order."""
    return [crd(kind) for kind in SPECS]


def crd(kind: str) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    names = NAMES[kind]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "conversion": {"strategy": "None"},  # the API server would add it, and GitOps see a difference
            "names": {
                "categories": ["merit"],
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": names.plural,
                "shortNames": [names.short],
                "singular": names.singular,
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": _columns(kind),
                    "schema": {"openAPIV3Schema": _root(kind)},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def _root(kind: str) -> Schema:
    return {
        "description": _DESCRIPTIONS[kind],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(SPECS[kind]),
            "status": _status(kind),
        },
    }


def _columns(kind: str) -> list[dict[str, Any]]:
    columns = []
    if kind == "Provider":
        columns.append({"name": "Protocol", "type": "string", "jsonPath": ".spec.protocol"})
    if kind == "ProviderPricing":
        columns.append({"name": "Provider", "type": "string", "jsonPath": ".spec.providerRef.name"})
    columns += [
        {"name": "Ready", "type": "string", "jsonPath": _of("Ready", "status")},
        {"name": "Programmed", "type": "string", "jsonPath": ".status.programmed"},
    ]
    if kind == "ModelRoute":
        columns.append({"name": "Cheapest", "type": "string", "jsonPath": ".status.cheapest"})
    return [
        *columns,
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Reason", "type": "string", "priority": 1, "jsonPath": _of("Ready", "reason")},
        {"name": "Snapshot", "type": "string", "priority": 1, "jsonPath": ".status.snapshot"},
        {"name": "Seconds", "type": "string", "priority": 1, "jsonPath": ".status.propagationSeconds"},
    ]


def _of(condition: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{condition}")].{field}'


def _status(kind: str) -> Schema:
    properties: Schema = {
        "conditions": {
            "description": f"{', '.join(ConditionType)}, in the Gateway API's sense.",
            "type": "array",
            "maxItems": 8,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": _condition(),
        },
        "observedGeneration": {
            "description": "The generation that this status is of.",
            "type": "integer",
            "format": "int64",
            "minimum": 0,
        },
        "programmed": _string("Pods that serve this generation, of all, e.g. 3/3.", 16),
        "propagationSeconds": _string(
            "Seconds from the API server's timestamp of the change, which has whole seconds, to the last pod's "
            "acknowledgement: up to 1 s too much.",
            16,
        ),
        "snapshot": _string("First 12 digits of the version that the pods serve it with.", 12),
    }
    if kind == "ModelRoute":
        properties["cheapest"] = _string("First of the merit order of the last tier, at the typical request.", 400)
        properties["meritOrder"] = _merit_order()
    if kind == "ProviderPricing":
        properties["commitments"] = _commitments()
    return {"description": "Written by the operator.", "type": "object", "properties": dict(sorted(properties.items()))}


def _commitments() -> Schema:
    return {
        "description": "What is left of each commitment that holds now, as far as pods have told.",
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "required": ["name", "periodEnds", "remaining"],
            "properties": {
                "name": _string("Its name in spec.commitments.", 63),
                "periodEnds": _string("When this period ends: RFC 3339.", 32),
                "remaining": _string("Of this period's volume, in whole percent.", 8),
            },
        },
    }


def _merit_order() -> Schema:
    return {
        "description": "Each tier's candidates by price at the typical request, cheapest first.",
        "type": "array",
        "maxItems": MOST_RANKED,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "required": ["costUSD", "model", "provider", "tier"],
            "properties": {
                "costUSD": _string("USD per request.", 40),
                "model": _string("The model at the provider.", 128),
                "provider": _string("Namespace and name of the Provider.", 320),
                "tier": _string("The tier.", 63),
            },
        },
    }


def _condition() -> Schema:
    return {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": _string("Words for people.", 32768),
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "reason": {
                **_string("Why, in one word.", 1024),
                "minLength": 1,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            },
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "type": _string("What it is about.", 316),
        },
    }


def _string(description: str, longest: int) -> Schema:
    return {"description": description, "type": "string", "maxLength": longest}
