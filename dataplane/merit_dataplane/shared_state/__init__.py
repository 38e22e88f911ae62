"""What pods share: the link to Redis or Valkey. Optional: without `--redis-url` there is none, and callers get None.

    budget = state.budget()                              one per request: all its waiting together is at most 5 ms
    key = state.key("cache", consumer, digest)           merit:cache:{hash of the consumer}:digest
    value = await state.read(key, budget=budget)         bytes, None where there is nothing
    reply = await state.run(SCRIPT, [key], [1], budget=budget)
    state.later(SCRIPT, [key], [1])                      nobody waits; False where it was dropped
    state.keep(key, value, seconds=60)                   the same for one value that expires

The law:

- A command never runs in its caller's task. Commands of many requests share a pipeline that a task of the lane sends;
  a cancelled or late caller lets go of its future alone, and the reply is read and thrown away. So a reply can't reach
  another caller (redis-py's fault of 2023), and a connection whose replies were not all read is closed.
- Whatever goes wrong is one `SharedStateUnavailableError`. Callers have an answer of their own without Redis.
- A breaker for reads and one for writes, per server (of a Cluster: per master). It opens after 5 failures in a row or
  16 of 32; then nobody waits. A probe that reads and writes closes it. It is open until the first probe has succeeded:
  a pod that starts beside a dead Redis never waits for it.
- All queues are bounded, by number and bytes.
- Keys of one script have one `{hash tag}`, so they are in one slot. Names of consumers and requests are hashed.
- Values are data, never code: nothing is unpickled. A key of ours that holds another type is removed.
"""

from typing import TYPE_CHECKING, Any

from merit_dataplane.shared_state.errors import SharedStateUnavailableError
from merit_dataplane.shared_state.script import Script

if TYPE_CHECKING:
    from merit_dataplane.shared_state.state import Budget, SharedState

__all__ = ["Budget", "Script", "SharedState", "SharedStateUnavailableError"]


def __getattr__(name: str) -> Any:
    """The link itself is imported by who makes one: its client is 20 MB that many pods don't need."""
    if name in {"Budget", "SharedState"}:
        from merit_dataplane.shared_state import state  # noqa: PLC0415

        return getattr(state, name)
    raise AttributeError(name)
