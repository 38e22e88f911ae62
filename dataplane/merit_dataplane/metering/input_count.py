"""How many input tokens a model will count in a request: our estimate from its length, times what it counted so far.

Every model has a tokenizer, a template for messages and tools, and a language that it was asked in; all of that is in
the ratio of the tokens that it reported to those that were estimated. Candidates of a tier get the same requests, so
they share one ratio, and each moves away from it as its own reports show.
"""

_MEMORY = 1_000_000.0
"""Estimated tokens after which older ones weigh half."""
_PRIOR = 300.0
"""Estimated tokens that the ratio 1 is worth: one request's."""
_POOL = 3_000.0
"""Estimated tokens of its own after which a candidate's ratio weighs as much as its tier's."""
_FURTHEST = 8.0
"""One report counts for at most this many times its estimate, and at least for its part: vendors err, too."""


class TierInput:
    """Of one tier of one route, whoever answered."""

    __slots__ = ("estimated", "reported")

    def __init__(self) -> None:
        self.estimated = self.reported = _PRIOR

    def observe(self, estimated: int, reported: float) -> None:
        """A model reported so many tokens of a request that was estimated to have others."""
        self.estimated += estimated
        self.reported += reported
        if self.estimated > _MEMORY:
            self.estimated /= 2
            self.reported /= 2


class ExpectedInput:
    """Of one candidate in its tier."""

    __slots__ = ("_estimated", "_reported", "_tier")

    def __init__(self, tier: TierInput):
        self._tier = tier
        self._estimated = self._reported = 0.0

    def observe(self, estimated: int, reported: int) -> None:
        """This candidate reported so many tokens of a request that was estimated to have others."""
        counted = float(reported)
        if not estimated <= counted * _FURTHEST <= estimated * _FURTHEST * _FURTHEST:
            counted = min(max(counted, estimated / _FURTHEST), estimated * _FURTHEST)
        self._estimated += estimated
        self._reported += counted
        if self._estimated > _MEMORY:
            self._estimated /= 2
            self._reported /= 2
        self._tier.observe(estimated, counted)

    def tokens(self, estimated: int) -> int:
        """Expected input tokens of a request; at least one."""
        tier = self._tier
        expected = estimated * (tier.reported / tier.estimated * _POOL + self._reported) / (_POOL + self._estimated)
        return int(expected + 0.5) or 1
