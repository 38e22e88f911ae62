"""Every pod at the newest version: desired state per pod, one task each, backoff, a probe every ten seconds."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from merit_crds.push import Nack, Rejection
from merit_operator import metrics
from merit_operator.discovery import Pod
from merit_operator.push.rollout import Rollout
from merit_operator.push.session import Parcel, PodClient, UnreachableError

log = logging.getLogger("merit.push")
_PROBE_SECONDS = 10.0
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 5.0
_REFUSED_BACKOFF_SECONDS = 30.0
_CANARY_SECONDS = 0.3
_jitter = random.Random()  # noqa: S311 # spreads retries


@dataclass(slots=True)
class PodState:
    """What is known of one pod."""

    version: str = ""
    """The version that it acknowledged; empty when none."""
    term: int = 0
    """The newest term that it has seen."""
    refused: str = ""
    """The version that it refused."""
    reason: str = ""
    """Why, or why it can't be reached."""


class Publisher:
    """Keeps pods at the parcel. `changed`: a pod's state has; `outdone`: a pod knows a leader of a newer term."""

    def __init__(self, client: PodClient, *, changed: Callable[[], None], outdone: Callable[[int], None]):
        self._client, self._changed, self._outdone = client, changed, outdone
        self._parcel: Parcel | None = None
        self._rollout = Rollout("")
        self._states: dict[Pod, PodState] = {}
        self._workers: dict[Pod, asyncio.Task[None]] = {}
        self._wake: dict[Pod, asyncio.Event] = {}
        self._canary_timer: asyncio.TimerHandle | None = None

    @property
    def states(self) -> Mapping[Pod, PodState]:
        """Every known pod."""
        return self._states

    @property
    def refusal(self) -> str:
        """Why the newest version is not rolled out; empty when nothing stops it."""
        return self._rollout.refusal

    @property
    def confirmed(self) -> bool:
        """Whether a pod serves the newest version."""
        return self._rollout.confirmed

    def publish(self, parcel: Parcel | None) -> None:
        """This is what every pod should serve. None: this process does not lead."""
        self._parcel = parcel
        if parcel is not None and parcel.version != self._rollout.version:
            self._rollout = Rollout(parcel.version)
            if any(state.version == parcel.version for state in self._states.values()):
                self._rollout.acknowledged()
            self._next_canary()
        self._wake_all()

    def set_pods(self, pods: set[Pod]) -> None:
        """These pods exist."""
        for pod in set(self._workers) - pods:
            self._workers.pop(pod).cancel()
            self._states.pop(pod, None)
            self._wake.pop(pod, None)
        for pod in pods:
            if pod not in self._workers:
                self._states[pod], self._wake[pod] = PodState(), asyncio.Event()
                self._workers[pod] = asyncio.create_task(self._keep(pod))
            else:
                self._wake[pod].set()  # something changed about it, perhaps it has restarted
        if not self._rollout.confirmed:
            self._next_canary()
        self._changed()

    async def close(self) -> None:
        """Stops all tasks."""
        if self._canary_timer is not None:
            self._canary_timer.cancel()
        for task in self._workers.values():
            task.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    def _next_canary(self) -> None:
        if self._canary_timer is not None:
            self._canary_timer.cancel()
            self._canary_timer = None
        pod = self._rollout.pick(self._states)
        if pod is not None:
            self._wake[pod].set()
            self._canary_timer = asyncio.get_running_loop().call_later(_CANARY_SECONDS, self._next_canary)

    def _wake_all(self) -> None:
        for wake in self._wake.values():
            wake.set()

    async def _keep(self, pod: Pod) -> None:
        """One pod, until it is gone."""
        state, wake, backoff, first = self._states[pod], self._wake[pod], _FIRST_BACKOFF_SECONDS, True
        while True:
            wake.clear()
            parcel = self._parcel
            try:
                if first or parcel is None or _has(state, parcel):
                    await self._probe(pod, state)
                    first = False
                if parcel is not None and not _has(state, parcel) and self._rollout.allows(pod):
                    pause = await self._push(pod, state, parcel)
                else:
                    pause = _PROBE_SECONDS
                backoff = _FIRST_BACKOFF_SECONDS
            except UnreachableError as error:
                self._note(pod, state, reason=f"unreachable: {error}")
                pause, backoff = backoff, min(backoff * 2, _LONGEST_BACKOFF_SECONDS)
            except Exception:
                metrics.ERRORS.labels("push").inc()
                log.exception("pod %s: an error of our own, it is tried again", pod.name)
                pause = _LONGEST_BACKOFF_SECONDS
            try:
                async with asyncio.timeout(pause * _jitter.uniform(0.8, 1.2)):
                    await wake.wait()
            except TimeoutError:
                pass

    async def _probe(self, pod: Pod, state: PodState) -> None:
        """Asks what the pod serves: a container that has restarted in its pod has lost it."""
        answer = await self._client.version(pod)
        if isinstance(answer, Nack):
            self._note(pod, state, reason=f"{answer.rejection}: {answer.message}")
            return
        state.term = answer.term
        if answer.version != state.version:
            self._note(pod, state, version=answer.version)
            if answer.version and answer.version == self._rollout.version:
                self._confirm()

    async def _push(self, pod: Pod, state: PodState, parcel: Parcel) -> float:
        """Sends the parcel; seconds until the next look."""
        started = asyncio.get_running_loop().time()
        try:
            answer = await self._client.push(pod, parcel)
        except UnreachableError:
            metrics.PUSHES.labels("unreachable").inc()
            raise
        metrics.PUSH_SECONDS.observe(asyncio.get_running_loop().time() - started)
        if not isinstance(answer, Nack):
            metrics.PUSHES.labels("ack").inc()
            state.term = answer.term
            self._note(pod, state, version=answer.version)
            if answer.version == self._rollout.version:
                self._confirm()
            return _PROBE_SECONDS
        metrics.PUSHES.labels("nack").inc()
        log.warning(
            "pod %s refused snapshot %s: %s: %s", pod.name, parcel.version[:12], answer.rejection, answer.message
        )
        self._note(
            pod, state, version=answer.version, refused=parcel.version, reason=f"{answer.rejection}: {answer.message}"
        )
        if answer.rejection is Rejection.STALE_TERM:
            self._outdone(answer.term)
            return _LONGEST_BACKOFF_SECONDS
        if answer.rejection is Rejection.UNAUTHORIZED:
            return _LONGEST_BACKOFF_SECONDS  # says nothing of the snapshot: the token's Secret may be on its way
        self._rollout.refused(f"pod {pod.name}: {answer.rejection}: {answer.message}")
        return _REFUSED_BACKOFF_SECONDS

    def _confirm(self) -> None:
        if not self._rollout.confirmed:
            self._rollout.acknowledged()
            self._wake_all()

    def _note(
        self, pod: Pod, state: PodState, *, version: str | None = None, refused: str = "", reason: str = ""
    ) -> None:
        before = (state.version, state.refused, state.reason)
        if version is not None:
            state.version = version
        state.refused, state.reason = refused, reason
        if before != (state.version, state.refused, state.reason):
            if reason and not refused:
                log.warning("pod %s: %s", pod.name, reason)
            self._changed()


def _has(state: PodState, parcel: Parcel) -> bool:
    """Whether the pod serves the parcel and has seen its term: a deposed leader must find its pushes refused."""
    return state.version == parcel.version and state.term >= parcel.term
