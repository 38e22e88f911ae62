"""What a pod remembers stays bounded, however long resources come and go."""

import pytest

from merit_dataplane import live as module
from merit_dataplane.live import Live
from merit_dataplane.observability import ledger as accounts
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.snapshots.holder import SnapshotHolder
from tests.support.resources import CONSUMER, compiled, prices, provider, route_of


async def turned(holder: SnapshotHolder, turn: int) -> None:
    """A snapshot in which a model and an endpoint are new, and those of the turn before are gone."""
    made = compiled(
        provider("a", f"http://127.0.0.1:1/{turn}/v1", "http://127.0.0.1:1/v1"),
        prices("a", "1", "1", model=f"model-{turn}", more_prices=', cachedInput: "0.1"'),
        route_of(f"[{{name: all, candidates: [{{provider: {{name: a}}, model: model-{turn}}}]}}]"),
        CONSUMER,
    )
    await holder.apply(made.version, made.snapshot, made.credentials)


async def test_models_and_endpoints_that_come_and_go_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_UNUSED", 3)
    live = Live()
    holder = SnapshotHolder(live)
    for turn in range(12):
        await turned(holder, turn)
    assert [labels[3] for labels in live._learned] == [f"model-{turn}" for turn in range(8, 12)]
    assert {model for _, model in live._warmths} == {f"model-{turn}" for turn in range(8, 12)}
    urls = {url for _, _, url in live._endpoints}
    assert urls == {"http://127.0.0.1:1/v1", *(f"http://127.0.0.1:1/{turn}/v1" for turn in range(8, 12))}
    assert len(live.marks) == 4
    shared = next(circuits for (_, _, url), circuits in live._endpoints.items() if url == "http://127.0.0.1:1/v1")
    assert list(shared) == [f"model-{turn}" for turn in range(8, 12)]
    assert len(live._turns) == 4 + 5 + 8  # warm models, endpoints, circuits


async def test_what_comes_back_soon_is_remembered() -> None:
    live = Live()
    holder = SnapshotHolder(live)
    await turned(holder, 0)
    (first,) = live._learned.values()
    await turned(holder, 1)
    await turned(holder, 0)
    assert first in live._learned.values()
    assert first.turn == 3


def test_labels_that_come_and_go_end_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MOST_SERIES", 3)
    ledger = Ledger()
    for turn in range(10):
        ledger.lost["r", "t", "p", f"model-{turn}", "reset"] += 5
        ledger.saved[f"route-{turn}"] += 2
    assert ledger.lost["other", "other", "other", "other", "other"] == 35
    assert ledger.saved["other"] == 14
    ledger.saved["route-0"] += 1
    assert ledger.saved["route-0"] == 3
    assert len(ledger.lost) == len(ledger.saved) == 4
