"""Standalone source: a folder of the same YAML that kubectl applies, compiled by the same function, applied alike."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles import awatch

from merit_crds.compile import Compiled, Translations, compile_resources
from merit_crds.manifest import Fault, Manifest, read
from merit_crds.problems import line_of
from merit_crds.resources import Resource, ResourceId, ResourceSet
from merit_crds.snapshot import Snapshot
from merit_dataplane.snapshots.holder import SnapshotHolder

log = logging.getLogger("merit.folder")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DEBOUNCE_MS = 50
_STANDS_MS = 1_000
_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a folder, or some files, hold."""

    resources: ResourceSet
    faults: tuple[Fault, ...] = ()


@dataclass(slots=True)
class _Gathered:
    resources: dict[ResourceId, Resource] = field(default_factory=dict)
    secrets: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


Memory = dict[Path, Manifest]
"""What each file held when it was last read."""


def substitute(text: str) -> str:
    """`${NAME}` in a value of a Secret, by the environment. Raises KeyError."""
    return _VARIABLE.sub(lambda match: os.environ[match.group(1)], text)


def load(
    paths: list[Path],
    secrets_folder: Path | None = None,
    memory: Memory | None = None,
    *,
    value: Callable[[str], str] = substitute,
) -> Loaded:
    """Reads YAML files, and folders of them with their subfolders. Raises OSError for a path that doesn't exist.

    With a `memory`, what can't be read in a file stays what it was: a typo takes nothing out of service. `value` makes
    of a Secret's text what is used.
    """
    gathered = _Gathered()
    files = [file for path in paths for file in _files(path)]
    for file in files:
        manifest = _manifest(file, value)
        if memory is not None:
            manifest = memory[file] = _completed(manifest, memory.get(file))
        _gather(file, manifest, gathered)
    if memory is not None:
        for gone in memory.keys() - set(files):
            del memory[gone]
    if secrets_folder is not None:
        _add_secret_files(secrets_folder, gathered)
    return Loaded(ResourceSet.of(gathered.resources.values(), gathered.secrets), tuple(gathered.faults))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        # hidden folders are skipped: a mounted ConfigMap has each file twice, once under ..data
        return sorted(
            f
            for f in path.rglob("*")
            if f.suffix in {".yaml", ".yml", ".json"}
            and f.is_file()
            and not any(part.startswith(".") for part in f.relative_to(path).parts)
        )
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    return [path]


def _manifest(file: Path, value: Callable[[str], str]) -> Manifest:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        fault = Fault(str(file), 1, f"is no UTF-8 text: {error.reason} at byte {error.start}")
        return Manifest((), {}, (fault,))
    return read(text, source=str(file), substitute=value)


def _completed(now: Manifest, before: Manifest | None) -> Manifest:
    """A manifest with faults, with what `before` has and it lacks."""
    if before is None or not now.faults:
        return now
    known = {resource.id for resource in now.resources}
    kept = tuple(resource for resource in before.resources if resource.id not in known)
    secrets = {**before.secrets}
    for name, values in now.secrets.items():
        secrets[name] = {**secrets.get(name, {}), **values}
    return Manifest(now.resources + kept, secrets, now.faults)


def _gather(file: Path, manifest: Manifest, gathered: _Gathered) -> None:
    gathered.faults += manifest.faults
    gathered.secrets |= manifest.secrets
    for resource in manifest.resources:
        first = gathered.resources.get(resource.id)
        if first is None:
            gathered.resources[resource.id] = resource
        else:
            words = f"{resource.id} is already in {first.source}: remove one of the two"
            gathered.faults.append(Fault(str(file), line_of_root(resource), words))


def line_of_root(resource: Resource) -> int:
    """Line at which a resource's document starts."""
    return resource.lines.get((), 1)


def _add_secret_files(folder: Path, gathered: _Gathered) -> None:
    """`<name>/<key>` in namespace default, or `<namespace>/<name>/<key>`, as Secrets are mounted."""
    secrets: dict[tuple[str, str], dict[str, str]] = {}
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if not file.is_file() or any(part.startswith(".") for part in parts) or len(parts) not in (2, 3):
            continue
        namespace = parts[0] if len(parts) == 3 else "default"
        try:
            value = file.read_text(encoding="utf-8").rstrip("\n")
        except UnicodeDecodeError as error:
            gathered.faults.append(Fault(str(file), 1, f"is no UTF-8 text: {error.reason} at byte {error.start}"))
            continue
        secrets.setdefault((namespace, parts[-2]), {})[parts[-1]] = value
    gathered.secrets |= secrets


def complaints(loaded: Loaded, compiled: Compiled) -> list[str]:
    """Everything that is wrong, a line each: file, line, field, reason, fix."""
    lines = [str(fault) for fault in loaded.faults]
    for resource_id, status in compiled.statuses.items():
        resource = loaded.resources.resources[resource_id]
        file = resource.source.rsplit(":", 1)[0]
        lines += [f"{file}:{line_of(resource, p)}: {resource_id}: {p}" for p in status.problems]
        for condition in (status.accepted, status.resolved_refs):
            if condition.status == "False" and not (condition is status.accepted and status.problems):
                words = condition.message.split("; ")
                lines += [f"{resource.source}: {resource_id}: {condition.reason}: {text}" for text in words]
    return lines


class FolderSource:
    """Keeps the holder at what the folder says."""

    def __init__(self, holder: SnapshotHolder, folder: Path, secrets_folder: Path | None):
        self._holder, self._folder, self._secrets_folder = holder, folder, secrets_folder
        self._translations = Translations()
        self._memory: Memory = {}
        self._previous: Snapshot | None = None
        self._told: list[str] = []

    async def reload(self) -> None:
        """Reads, compiles, applies. Raises OSError when the folder can't be read."""
        loaded = await asyncio.to_thread(load, [self._folder], self._secrets_folder, self._memory)
        compiled = await asyncio.to_thread(compile_resources, loaded.resources, self._previous, self._translations)
        told = complaints(loaded, compiled)
        for line in told:
            if line not in self._told:
                log.warning("%s", line)
        for line in self._told:
            if line not in told:
                log.info("resolved: %s", line)
        self._told = told
        self._previous = compiled.snapshot
        if compiled.version != self._holder.version:
            await self._holder.apply(compiled.version, compiled.snapshot, compiled.credentials)
            log.info("snapshot %s in force: %s", compiled.version[:12], _summary(compiled.snapshot))

    async def follow(self) -> None:
        """Reloads at each change, until cancelled. A folder that can't be read for a while changes nothing."""
        while True:
            try:
                async for _ in self._changes():
                    await self.reload()
            except OSError as error:
                self._warn(f"the folder was not read, the snapshot stays: {error}")
            except Exception:  # whatever it is, it must not be the last time that the folder is looked at
                log.exception("the folder was not read, the snapshot stays")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _changes(self) -> AsyncIterator[None]:
        """Once when the watch stands, since something may have changed before; then at each change."""
        paths = [self._folder] + ([self._secrets_folder] if self._secrets_folder else [])
        stands = False
        watch = awatch(
            *paths, debounce=_DEBOUNCE_MS * 4, step=_DEBOUNCE_MS, rust_timeout=_STANDS_MS, yield_on_timeout=True
        )
        async for changes in watch:
            if changes or not stands:
                yield
            stands = True

    def _warn(self, line: str) -> None:
        if line not in self._told:
            log.warning("%s", line)
            self._told.append(line)


def _summary(snapshot: Snapshot) -> str:
    return (
        f"{len(snapshot.providers)} providers, {len(snapshot.pricings)} price lists, "
        f"{len(snapshot.routes)} routes, {len(snapshot.consumers)} consumers"
    )
