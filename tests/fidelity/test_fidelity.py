"""All recorded exchanges through a gateway, by the official SDKs, at several chunkings. Minutes: not in `make unit`."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fidelity.exchanges import Exchange, exchanges
from tests.fidelity.matrix import Outcome, cases, outcomes
from tests.fidelity.node_clients import node_process
from tests.sdk.environments import node_with

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore::UserWarning")]
SERVED = [exchange for exchange in exchanges() if exchange.kind is not None]
VENDORS = sorted({exchange.vendor for exchange in SERVED})
_NODE = Path(__file__).parents[1] / "sdk/clients/node"


def _of(vendor: str) -> list[Exchange]:
    return [exchange for exchange in SERVED if exchange.vendor == vendor]


def _told(found: Sequence[Outcome]) -> str:
    return "\n".join(
        f"{one.case.exchange.name} by {one.case.endpoint}, {one.case.chunking}: {'; '.join(one.differences)}"
        for one in found
        if one.differences
    )


@pytest.mark.parametrize("vendor", VENDORS)
async def test_what_a_vendor_said_is_what_pythons_sdks_read(vendor: str) -> None:
    served = _of(vendor)
    found = await outcomes(served, cases(served))
    assert len(found) >= 2 * len(served)
    assert not _told(found)


async def test_what_vendors_said_is_what_nodes_sdks_read() -> None:
    if shutil.which("npm") is None:
        pytest.skip("its packages come from npm, and there is none")
    folder = await asyncio.to_thread(node_with, "clients-node", _NODE)
    wanted = [case for case in cases(SERVED) if case.chunking == ("random" if case.exchange.streamed else "whole")]
    async with node_process(folder) as process:
        found = await outcomes(SERVED, wanted, process.clients)
    assert len(found) == len(wanted)
    assert not _told(found)
