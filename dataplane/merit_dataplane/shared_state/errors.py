"""What goes wrong with Redis, in one exception."""


class SharedStateUnavailableError(Exception):
    """Redis gave no answer that can be used, or wasn't asked. `reason` is one word, for metrics."""

    def __init__(self, reason: str):
        super().__init__(f"shared state: {reason}")
        self.reason = reason
