"""The last score of each answer, so that an answer counts once. Of this pod; bounded, the oldest go first.

In two halves: when the newer one is full it becomes the older one, whose place it takes. Nothing is ever sorted out,
and to copy both takes no time that a request would feel.
"""

MOST = 50_000
Half = dict[str, int]
"""By an answer's number, in millionths."""


class Scores:
    """Of the last answers that were scored, at least half of `most`."""

    def __init__(self, most: int = MOST) -> None:
        self._newer: Half = {}
        self._older: Half = {}
        self._half = most // 2

    def put(self, number: str, score: int) -> int | None:
        """The score that this one takes the place of, in millionths; None where there is none, or it is forgotten."""
        before = self._newer.get(number)
        if before is None:
            before = self._older.get(number)
        self._newer[number] = score
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, {}
        return before

    def halves(self) -> list[Half]:
        """What is known, for another thread: the older half first."""
        return [self._older, self._newer.copy()]  # the older one never changes
