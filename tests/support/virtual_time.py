"""An event loop whose clock jumps to the next timer as soon as nothing is left to do: hours pass in milliseconds."""

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Never waits: the time that it would have waited has passed."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits, and for nothing that has a time")
        if timeout > 0:
            self.loop.now = max(self.loop.now + timeout, math.nextafter(self.loop.now, math.inf))
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at second 1000; `now` is its clock."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = 1000.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end; no task may be left."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_alone(work))


async def _alone(work: Coroutine[Any, Any, T]) -> T:
    result = await work
    await asyncio.sleep(60)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left
    return result
