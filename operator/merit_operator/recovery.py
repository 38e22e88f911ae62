"""What was in force before this process started, so that what is broken now keeps its last good form."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from merit_crds.push import Ack
from merit_crds.snapshot import InvalidSnapshotError, Snapshot, decode
from merit_operator.client import KubeError
from merit_operator.discovery import Pod
from merit_operator.last_good import LastGoodCopy
from merit_operator.push.session import PodClient, UnreachableError

log = logging.getLogger("merit.recovery")
_SECONDS = 2.0
_ASKED = 3
"""Most pods that are asked for their snapshot, one after the other."""


async def recovered(copy: LastGoodCopy, client: PodClient, pods: Iterable[Pod]) -> Snapshot | None:
    """The snapshot of the copy in the cluster, else that of a pod; None where there is neither.

    Raises KubeError while the API server has no answer: to go on without one would drop what it can't say.
    """
    try:
        snapshot = await copy.load()
    except KubeError as error:
        if error.status not in (401, 403):
            raise
        log.warning("the last good copy may not be read: %s", error)
        snapshot = None
    if snapshot is None:
        snapshot = await _served(client, pods)
    return snapshot


async def _served(client: PodClient, pods: Iterable[Pod]) -> Snapshot | None:
    """What the pod that has seen the newest leader serves. All are asked at once: sick ones cost no time."""
    asked = [asyncio.create_task(_term(client, pod)) for pod in pods]
    if not asked:
        return None
    answered, silent = await asyncio.wait(asked, timeout=_SECONDS)
    for task in silent:
        task.cancel()
    serving = sorted((task.result() for task in answered if task.result()[0] >= 0), reverse=True)
    for _, pod in serving[:_ASKED]:
        with contextlib.suppress(UnreachableError, InvalidSnapshotError):
            return decode(await client.snapshot(pod))
    return None


async def _term(client: PodClient, pod: Pod) -> tuple[int, Pod]:
    """The newest term that the pod has seen; -1 where it serves nothing or says nothing."""
    with contextlib.suppress(UnreachableError):
        answer = await client.version(pod)
        if isinstance(answer, Ack) and answer.version:
            return answer.term, pod
    return -1, pod
