"""Which pods may have a new version: one canary first; all once one has acknowledged it; none more after a refusal."""

from collections.abc import Sequence

from merit_operator.discovery import Pod

_STEP = 20
"""Of a twentieth of all pods, rounded down but never to none, more canaries are made when those before keep silent."""


class Rollout:
    """The rollout of one version. Canaries that keep silent are joined by others, so that dead pods block nobody."""

    def __init__(self, version: str):
        self.version = version
        self.confirmed = False
        """A pod serves it."""
        self.refusal = ""
        """Why a pod refused it before any other served it."""
        self._canaries: set[Pod] = set()

    def allows(self, pod: Pod, *, empty: bool) -> bool:
        """Whether this pod may be sent the version. One that serves nothing (`empty`) has nothing to lose."""
        return self.confirmed or pod in self._canaries or bool(self.refusal and empty)

    def pick(self, pods: Sequence[Pod]) -> list[Pod]:
        """More canaries, the first of these that aren't any yet; none when none is needed or left."""
        if self.confirmed or self.refusal:
            return []
        count = max(1, len(pods) // _STEP) if self._canaries else 1
        fresh = [pod for pod in pods if pod not in self._canaries][:count]
        self._canaries.update(fresh)
        return fresh

    def acknowledged(self) -> None:
        """A pod serves the version."""
        self.confirmed, self.refusal = True, ""

    def refused(self, reason: str) -> None:
        """A pod refused it."""
        if not self.confirmed:
            self.refusal = reason
