"""The election, with virtual time against a small Lease API that refuses what the real one refuses."""

import copy
from typing import Any

from merit_operator.client import KubeError
from merit_operator.leader import GIVE_UP_SECONDS, LEASE_SECONDS, Elector


class Leases:
    """One Lease with optimistic locking, as the API server keeps it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.away = False

    async def request(self, method: str, path: str, *, body: Any = None) -> dict[str, Any]:
        if self.away:
            raise KubeError(0, "connection refused")
        if method == "GET":
            if self.lease is None:
                raise KubeError(404, "not found")
            return copy.deepcopy(self.lease)
        if method == "POST":
            if self.lease is not None:
                raise KubeError(409, "exists")
            self.lease = copy.deepcopy(body) | {"metadata": body["metadata"] | {"resourceVersion": "1"}}
            return self.lease
        assert self.lease is not None
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise KubeError(409, "changed meanwhile")
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(int(body["metadata"]["resourceVersion"]) + 1)
        return self.lease


class World:
    """Electors, a Lease, and a clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now, self.leases = 1000.0, Leases()

    def elector(self, identity: str) -> Elector:
        return Elector(
            self.leases, namespace="ns", name="merit", identity=identity, clock=lambda: self.now, changed=lambda: None
        )


def leads(*electors: Elector) -> tuple[bool, ...]:
    return tuple(elector.leads for elector in electors)


async def test_the_first_leads_and_the_second_waits() -> None:
    world = World()
    a, b = world.elector("a"), world.elector("b")
    await a.turn()
    await b.turn()
    assert a.leads
    assert not b.leads
    assert a.term == 1


async def test_an_expired_lease_is_taken_with_a_higher_term() -> None:
    world = World()
    a, b = world.elector("a"), world.elector("b")
    await a.turn()
    await b.turn()
    world.now += LEASE_SECONDS - 1
    await b.turn()
    assert b.term == 0
    world.now += 1
    await b.turn()
    assert b.term == 2
    assert leads(a, b) == (False, True), "its own clock says that it has not renewed for too long"
    await a.turn()
    assert a.term == 0


async def test_a_renewed_lease_is_kept() -> None:
    world = World()
    a, b = world.elector("a"), world.elector("b")
    for _ in range(30):
        await a.turn()
        await b.turn()
        world.now += 2
    assert a.leads
    assert a.term == 1
    assert b.term == 0


async def test_a_released_lease_is_taken_at_once() -> None:
    world = World()
    a, b = world.elector("a"), world.elector("b")
    await a.turn()
    await b.turn()
    await a._release()
    await b.turn()
    assert b.leads
    assert b.term == 2


async def test_leadership_is_given_up_while_the_api_server_is_away() -> None:
    world = World()
    a = world.elector("a")
    await a.turn()
    world.leases.away = True
    world.now += GIVE_UP_SECONDS
    assert leads(a) == (False,)
    await a.turn()
    assert leads(a) == (False,)
    world.leases.away = False
    await a.turn()
    assert leads(a) == (True,)
    assert a.term == 2, "another may have led meanwhile: the term must grow"


async def test_a_deleted_lease_does_not_lower_the_term() -> None:
    world = World()
    a = world.elector("a")
    a.outdo(41)  # a pod has seen this term
    await a.turn()
    assert a.term == 42


async def test_pods_that_know_a_higher_term_raise_ours() -> None:
    world = World()
    a = world.elector("a")
    await a.turn()
    a.outdo(9)
    await a.turn()
    assert a.term == 10
    assert a.leads


async def test_a_lapse_is_told_of_though_the_term_is_kept() -> None:
    world, told = World(), []
    a = Elector(
        world.leases,
        namespace="ns",
        name="merit",
        identity="a",
        clock=lambda: world.now,
        changed=lambda: told.append(a.leads),
    )
    await a.turn()
    world.now += GIVE_UP_SECONDS  # nobody else was there to take the Lease
    assert not a.leads
    await a.turn()
    assert a.term == 1
    assert told == [True, True], "what was left undone during the lapse is due"
