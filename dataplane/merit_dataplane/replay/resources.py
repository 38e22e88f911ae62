"""A folder of resources as a snapshot to plan with: no Secret is needed, and none is read."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from merit_crds.compile import Compiled, compile_resources
from merit_crds.resources import ResourceSet
from merit_dataplane.snapshots.folder import complaints, load


class BrokenResourcesError(ValueError):
    """Resources don't compile; a line each of what is wrong."""


class _Any(Mapping[str, str]):
    """Every key of a Secret, with a value that is nobody's."""

    def __init__(self, secret: str):
        self._secret = secret

    def __getitem__(self, key: str) -> str:
        return f"not-a-secret-{self._secret}-{key}"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _AnySecret(Mapping[tuple[str, str], Mapping[str, str]]):
    """Every Secret: a reviewer of prices has none."""

    def __getitem__(self, name: tuple[str, str]) -> Mapping[str, str]:
        return _Any("-".join(name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(())

    def __len__(self) -> int:
        return 0


def compiled(paths: list[Path]) -> Compiled:
    """Raises BrokenResourcesError, and OSError for a path that doesn't exist."""
    loaded = load(paths, value=str)
    made = compile_resources(ResourceSet(loaded.resources.resources, _AnySecret()))
    if wrong := complaints(loaded, made):
        raise BrokenResourcesError("\n".join(wrong))
    return made
