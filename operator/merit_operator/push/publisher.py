"""Every pod at the newest version: desired state per pod, one task each, backoff, a probe every ten seconds."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from merit_crds.push import MAX_PUSH_BYTES, Ack, Nack, Rejection, Volumes
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
_FAREWELL_SECONDS = 1.0
_FAREWELLS = 180
"""Most times that a pod which is about to end is asked for what it has drawn: it may serve for two minutes more."""
_jitter = random.Random()  # noqa: S311 # spreads retries and canaries
_BACKOFFS = {Rejection.STALE_TERM: _LONGEST_BACKOFF_SECONDS, Rejection.UNAUTHORIZED: _LONGEST_BACKOFF_SECONDS}
"""These say nothing of the snapshot: a leader is on its way out, or the token's Secret on its way in."""


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
    again_at: float = 0.0
    """The loop's time before which a refused version isn't sent again."""
    process: str = ""
    """By which its counts of commitments go."""


class FleetReports(Protocol):
    """Who adds up what pods have drawn of commitments."""

    def hear(self, ack: Ack) -> None:
        """What a pod has drawn."""

    def told(self, process: str, *, term: int, pods: int) -> Volumes | None:
        """What it should know of the others; None while there is nothing to tell."""


class Publisher:
    """Keeps pods at the parcel. `changed`: a pod's state has; `outdone`: a pod knows a leader of a newer term."""

    def __init__(
        self,
        client: PodClient,
        *,
        changed: Callable[[], None],
        outdone: Callable[[int], None],
        volumes: FleetReports | None = None,
    ):
        self._client, self._changed, self._outdone, self._volumes = client, changed, outdone, volumes
        self._farewells: set[asyncio.Task[None]] = set()
        self._parcel: Parcel | None = None
        self._rollout = Rollout("")
        self._states: dict[Pod, PodState] = {}
        self._workers: dict[Pod, asyncio.Task[None]] = {}
        self._wake: dict[Pod, asyncio.Event] = {}
        self._canary_timer: asyncio.TimerHandle | None = None
        self.acknowledged_at = time.time()
        """When a pod was last seen to serve another version than before; seconds since 1970."""

    @property
    def states(self) -> Mapping[Pod, PodState]:
        """Every known pod."""
        return self._states

    @property
    def refusal(self) -> str:
        """Why a pod refused the newest version; empty when none has."""
        if self._rollout.refusal:
            return self._rollout.refusal
        refusing = (f"pod {p.name}: {s.reason}" for p, s in self._states.items() if s.refused == self._rollout.version)
        return min(refusing, default="")

    @property
    def trouble(self) -> str:
        """Why a pod does not serve the newest version yet; empty when nothing is known to be wrong."""
        late = (f"pod {p.name}: {s.reason}" for p, s in self._states.items() if s.version != self._rollout.version)
        return min((words for words in late if not words.endswith(": ")), default="")

    @property
    def confirmed(self) -> bool:
        """Whether a pod serves the newest version."""
        return self._rollout.confirmed

    def publish(self, parcel: Parcel | None) -> None:
        """This is what every pod should serve. None: this process does not lead."""
        self._parcel = parcel
        if parcel is None:
            return
        new = parcel.version != self._rollout.version
        if new:
            self._rollout = Rollout(parcel.version)
            if any(state.version == parcel.version for state in self._states.values()):
                self._rollout.acknowledged()
            if len(parcel.body) > MAX_PUSH_BYTES:
                self._rollout.refused(f"it has {len(parcel.body)} bytes packed, pods take {MAX_PUSH_BYTES}")
                self._changed()
        self._next_canary()
        if self._rollout.confirmed or not new:
            self._wake_all()  # else the canary goes first, and nobody else has anything to do

    def set_pods(self, pods: set[Pod]) -> None:
        """These pods exist."""
        self._client.pods = max(1, len(pods))
        for pod in set(self._workers) - pods:
            self._workers.pop(pod).cancel()
            state = self._states.pop(pod, None)
            self._wake.pop(pod, None)
            if state is not None and self._told(state) is not None:
                farewell = asyncio.create_task(self._farewell(pod, state))
                self._farewells.add(farewell)
                farewell.add_done_callback(self._farewells.discard)
        for pod in pods:
            if pod not in self._workers:
                self._states[pod], self._wake[pod] = PodState(), asyncio.Event()
                self._workers[pod] = asyncio.create_task(self._keep(pod))
            else:
                self._wake[pod].set()  # something changed about it, perhaps it has restarted
        self._next_canary()
        self._changed()

    async def close(self) -> None:
        """Stops all tasks."""
        if self._canary_timer is not None:
            self._canary_timer.cancel()
        tasks = [*self._workers.values(), *self._farewells]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _next_canary(self) -> None:
        if self._canary_timer is not None:
            self._canary_timer.cancel()
            self._canary_timer = None
        if self._parcel is None:
            return
        # those without trouble first; in random order, so that no sick group comes first each time
        order = sorted(self._states, key=lambda pod: (bool(self._states[pod].reason), _jitter.random()))
        picked = self._rollout.pick(order)
        for pod in picked:
            self._wake[pod].set()
        if picked:
            self._canary_timer = asyncio.get_running_loop().call_later(_CANARY_SECONDS, self._next_canary)

    def _wake_all(self) -> None:
        for wake in self._wake.values():
            wake.set()

    async def _keep(self, pod: Pod) -> None:
        """One pod, until it is gone."""
        state, wake, backoff, known = self._states[pod], self._wake[pod], _FIRST_BACKOFF_SECONDS, False
        while True:
            wake.clear()
            try:
                pause = await self._step(pod, state, probe=not known)
                backoff, known = _FIRST_BACKOFF_SECONDS, True
            except UnreachableError as error:
                self._note(pod, state, reason=f"unreachable: {error}")
                if not self._rollout.confirmed and self._rollout.allows(pod, empty=False):
                    self._next_canary()  # nothing is learned by waiting for this one
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

    async def _step(self, pod: Pod, state: PodState, *, probe: bool) -> float:
        """What there is to do for a pod now; seconds until the next look. Raises UnreachableError."""
        parcel = self._parcel
        if probe or parcel is None or _has(state, parcel) or not self._allowed(pod, state, parcel):
            await self._probe(pod, state)
            parcel = self._parcel
        if parcel is None or _has(state, parcel) or not self._allowed(pod, state, parcel):
            return _PROBE_SECONDS
        pause = state.again_at - asyncio.get_running_loop().time()
        if state.refused == parcel.version and pause > 0:
            return pause
        return await self._push(pod, state, parcel)

    def _allowed(self, pod: Pod, state: PodState, parcel: Parcel) -> bool:
        return len(parcel.body) <= MAX_PUSH_BYTES and self._rollout.allows(pod, empty=not state.version)

    async def _probe(self, pod: Pod, state: PodState) -> None:
        """Asks what the pod serves: a container that has restarted in its pod has lost it."""
        answer = await self._ask(pod, state)
        if isinstance(answer, Nack):
            self._note(pod, state, reason=f"{answer.rejection}: {answer.message}")
            return
        state.term = answer.term
        self._note(
            pod, state, version=answer.version, refused=state.refused, reason=state.reason if state.refused else ""
        )
        if answer.version and answer.version == self._rollout.version:
            self._confirm()

    async def _ask(self, pod: Pod, state: PodState) -> Ack | Nack:
        """What the pod serves, and has drawn of commitments; it is told what others have. Raises UnreachableError."""
        if (volumes := self._told(state)) is not None:
            return self._heard(state, await self._client.volumes(pod, volumes))
        answer = self._heard(state, await self._client.version(pod))
        if isinstance(answer, Ack) and (volumes := self._told(state)) is not None:  # it is known only now
            return self._heard(state, await self._client.volumes(pod, volumes))
        return answer

    def _told(self, state: PodState) -> Volumes | None:
        if self._volumes is None or self._parcel is None:
            return None
        return self._volumes.told(state.process, term=self._parcel.term, pods=len(self._states))

    def _heard(self, state: PodState, answer: Ack | Nack) -> Ack | Nack:
        if isinstance(answer, Ack) and self._volumes is not None:
            state.process = answer.process
            self._volumes.hear(answer)
        return answer

    async def _farewell(self, pod: Pod, state: PodState) -> None:
        """A pod that is about to end still answers requests: what it draws until then is asked for to the last."""
        for _ in range(_FAREWELLS):
            try:
                await self._ask(pod, state)
            except UnreachableError:
                return
            await asyncio.sleep(_FAREWELL_SECONDS)

    async def _push(self, pod: Pod, state: PodState, parcel: Parcel) -> float:
        """Sends the parcel; seconds until the next look."""
        started = asyncio.get_running_loop().time()
        try:
            answer = self._heard(state, await self._client.push(pod, parcel))
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
        refused = "" if answer.rejection in _BACKOFFS else parcel.version
        self._note(pod, state, version=answer.version, refused=refused, reason=f"{answer.rejection}: {answer.message}")
        if answer.rejection is Rejection.STALE_TERM:
            self._outdone(answer.term)
        if answer.rejection in _BACKOFFS:
            return _BACKOFFS[answer.rejection]
        state.again_at = asyncio.get_running_loop().time() + _REFUSED_BACKOFF_SECONDS
        if answer.rejection is not Rejection.UNKNOWN_FORMAT:  # that is about the pod: in an upgrade others know it
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
        if version is not None and version != state.version:
            state.version, self.acknowledged_at = version, time.time()
        state.refused, state.reason = refused, reason
        if before != (state.version, state.refused, state.reason):
            if reason and not refused:
                log.warning("pod %s: %s", pod.name, reason)
            self._changed()


def _has(state: PodState, parcel: Parcel) -> bool:
    """Whether the pod serves the parcel and has seen its term: a deposed leader must find its pushes refused."""
    return state.version == parcel.version and state.term >= parcel.term
