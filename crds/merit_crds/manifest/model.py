"""What a text holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from merit_crds.resources import Resource

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a file that is no resource: not YAML, no name, an unknown kind."""

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one text holds."""

    resources: tuple[Resource, ...] = ()
    secrets: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict, repr=False)
    faults: tuple[Fault, ...] = ()
