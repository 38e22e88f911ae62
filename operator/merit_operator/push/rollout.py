"""Which pods may have a new version: one canary first; all once one has acknowledged it; none more after a refusal."""

from collections.abc import Iterable

from merit_operator.discovery import Pod


class Rollout:
    """The rollout of one version. A canary that keeps silent is joined by another, so that a dead pod blocks nobody."""

    def __init__(self, version: str):
        self.version = version
        self.confirmed = False
        """A pod serves it."""
        self.refusal = ""
        """Why a pod refused it; empty while none has."""
        self._canaries: list[Pod] = []

    def allows(self, pod: Pod) -> bool:
        """Whether this pod may be sent the version."""
        return self.confirmed or (not self.refusal and pod in self._canaries)

    def pick(self, pods: Iterable[Pod]) -> Pod | None:
        """One canary more, the next that isn't one yet; None when it isn't needed or there is none left."""
        if self.confirmed or self.refusal:
            return None
        for pod in sorted(pods):
            if pod not in self._canaries:
                self._canaries.append(pod)
                return pod
        return None

    def acknowledged(self) -> None:
        """A pod serves the version."""
        self.confirmed = True

    def refused(self, reason: str) -> None:
        """A pod refused it."""
        if not self.confirmed:
            self.refusal = reason
