"""Consumer: who may call which routes, with which key."""

from pydantic import Field

from merit_crds.v1alpha1.fields import ObjectRef, Part, SecretKeySelector, listed


class RouteRef(ObjectRef):
    """A ModelRoute that the consumer may call."""


class ConsumerSpec(Part):
    """Who may call which routes, with which key."""

    api_keys: tuple[SecretKeySelector, ...] = Field(
        min_length=1,
        max_length=8,
        description="Keys of at least 16 characters, sent as 'Authorization: Bearer'; two during a rotation.",
        json_schema_extra=listed(keys=("name", "key")),
    )
    routes: tuple[RouteRef, ...] = Field(
        default=(),
        max_length=256,
        description="Routes that this consumer may call; every ModelRoute of this namespace when empty.",
        json_schema_extra=listed(),
    )
