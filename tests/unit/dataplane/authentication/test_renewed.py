"""A value that ends: fetched before it does, served to its end while fetching fails."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.authentication.renewed import Fetched, Renewed


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time is the test's."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now


class Vendor:
    """Gives `value-1`, `value-2`, … or fails, as told."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails: Exception | None = None
        self.seconds = 3600.0
        self.holds = asyncio.Event()
        self.holds.set()

    async def __call__(self) -> Fetched[str]:
        self.calls += 1
        made = self.calls
        await self.holds.wait()
        if self.fails is not None:
            raise self.fails
        return Fetched(f"value-{made}", self.seconds)


@contextlib.asynccontextmanager
async def renewed(vendor: Vendor) -> AsyncIterator[Renewed[str]]:
    made = Renewed("Provider default/v: token", vendor)
    try:
        yield made
    finally:
        made.close()
        await settle()


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def later(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Clock)
    loop.now += seconds
    await settle()


@pytest.fixture
def virtual() -> Clock:
    return Clock()


def run(loop: Clock, steps: object) -> None:
    try:
        loop.run_until_complete(steps)  # type: ignore[arg-type]
    finally:
        loop.close()


def test_it_is_fetched_once_for_all_who_wait_and_anew_before_its_end(virtual: Clock) -> None:
    async def steps() -> None:
        vendor = Vendor()
        async with renewed(vendor) as value:
            assert await asyncio.gather(*(value.current() for _ in range(5))) == ["value-1"] * 5
            await later(3600 * 0.6)
            assert (vendor.calls, await value.current()) == (1, "value-1")
            await later(3600 * 0.2)
            assert (vendor.calls, await value.current()) == (2, "value-2")

    run(virtual, steps())


def test_while_it_fails_the_old_one_serves_to_its_end_and_no_longer(
    virtual: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps() -> None:
        vendor = Vendor()
        async with renewed(vendor) as value:
            await value.current()
            vendor.fails = AuthenticationError("no token from auth.example: 400 invalid_grant")
            await later(3600 * 0.8)
            assert await value.current() == "value-1"
            await later(3600 * 0.19)
            assert await value.current() == "value-1"
            await later(3600)
            with pytest.raises(
                AuthenticationError, match=r"^Provider default/v: token: no token from auth.example: 400"
            ):
                await value.current()
            vendor.fails = None
            await later(120)
            assert (await value.current()).startswith("value-")

    with caplog.at_level(logging.WARNING):
        run(virtual, steps())
    assert (
        "Provider default/v: token: no token from auth.example: 400 invalid_grant; the old one serves for"
        in caplog.text
    )


def test_a_vendor_that_is_down_is_not_asked_for_each_request(virtual: Clock) -> None:
    async def steps() -> None:
        vendor = Vendor()
        vendor.fails = AuthenticationError("down")
        async with renewed(vendor) as value:
            for _ in range(20):
                with pytest.raises(AuthenticationError, match="down"):
                    await value.current()
            assert vendor.calls == 1
            for _ in range(30):
                await later(60)
            assert 20 <= vendor.calls <= 60

    run(virtual, steps())


def test_what_an_unforeseen_exception_says_stays_with_it(virtual: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def steps() -> None:
        vendor = Vendor()
        vendor.fails = RuntimeError("secret-canary")
        async with renewed(vendor) as value:
            with pytest.raises(AuthenticationError, match="RuntimeError") as refused:
                await value.current()
            assert "canary" not in str(refused.value)

    with caplog.at_level(logging.WARNING):
        run(virtual, steps())
    assert "canary" not in caplog.text


def test_a_value_that_the_vendor_refuses_is_replaced_unless_it_is_young(virtual: Clock) -> None:
    async def steps() -> None:
        vendor = Vendor()
        async with renewed(vendor) as value:
            await value.current()
            value.refused()
            await settle()
            assert vendor.calls == 1
            await later(60)
            value.refused()
            value.refused()
            await settle()
            assert (vendor.calls, await value.current()) == (2, "value-2")

    run(virtual, steps())


def test_closed_it_fetches_nothing_more(virtual: Clock) -> None:
    async def steps() -> None:
        vendor = Vendor()
        async with renewed(vendor) as value:
            await value.current()
            value.close()
            await later(3000)
            assert (vendor.calls, await value.current()) == (1, "value-1")
            await later(3000)
            with pytest.raises(AuthenticationError):
                await value.current()

    run(virtual, steps())
