"""The repository's own recorded exchanges through a gateway, read by OpenAI's and Anthropic's SDKs.

`tests/fidelity` does the same with all that are at hand.
"""

from dataclasses import replace

import pytest

from tests.fidelity.compare import differences, said_by
from tests.fidelity.exchanges import Exchange, exchanges
from tests.fidelity.heard import Heard
from tests.fidelity.matrix import cases, outcomes
from tests.support.said.answer import Said

EXTRACTS = exchanges(extracts=True)


@pytest.mark.parametrize("vendor", sorted({exchange.vendor for exchange in EXTRACTS}))
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydantic's, of blocks that an SDK doesn't know
async def test_sdks_read_what_the_vendor_said(vendor: str) -> None:
    served = [exchange for exchange in EXTRACTS if exchange.vendor == vendor and exchange.kind is not None]
    wanted = [case for case in cases(served) if case.chunking == ("random" if case.exchange.streamed else "whole")]
    found = await outcomes(served, wanted)
    assert served
    assert not [(one.case.exchange.name, one.case.endpoint, one.differences) for one in found if one.differences]


def test_all_that_is_at_hand_is_served_or_has_a_reason() -> None:
    unserved = [exchange for exchange in exchanges() if exchange.kind is None]
    assert not [exchange.name for exchange in unserved if exchange.why == "no path that is known here"]


@pytest.mark.parametrize("exchange", [e for e in EXTRACTS if e.kind is not None][:40:7], ids=lambda e: e.name[-12:])
async def test_a_lie_would_be_noticed(exchange: Exchange) -> None:
    assert differences(replace(exchange, status=200), "chat", said_by(exchange), Heard(said=Said()))
