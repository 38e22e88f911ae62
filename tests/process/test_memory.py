"""A pod's memory has a ceiling: the interpreter's, four times `--body-memory`, and the cache's."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.support.gateway import scripted
from tests.support.merit_process import Merit, merit_serve
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
MIB = 1 << 20
BODY_MIB, CACHE_MIB = 96, 16
SPARE_MIB = 64
"""For what grows once: pools of the allocator, tables, connections."""
ANSWER = json.dumps(
    {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 20_000}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
    }
).encode()


def peak_mib(merit: Merit) -> float:
    """The most memory that the process has ever had at once."""
    status = Path(f"/proc/{merit.process.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


async def answers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.05)
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
    )


async def ask(merit: Merit, text: str, model: str = "chat", size: int = 0) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": text + "y" * size}]}
    headers = {"authorization": f"Bearer {CONSUMER_KEY}"}
    return await merit.http.post(f"{merit.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


async def test_it_sheds_rather_than_grows(tmp_path: Path) -> None:
    async with scripted(answers) as url:
        tiers = "[{name: main, candidates: [{provider: {name: vendor}, model: vendor-model}]}]"
        route = route_of(tiers, extra="cache: {exact: {ttl: 1h}}")
        documents = (provider("vendor", url), prices("vendor", "1", "2"), route, CONSUMER)
        (tmp_path / "all.yaml").write_text("\n---\n".join(documents), encoding="utf-8")
        options = ("--no-watch", "--usage-log", "off", "--body-memory", str(BODY_MIB), "--cache", str(CACHE_MIB))
        async with merit_serve(tmp_path, *options) as merit:
            assert (await ask(merit, "warm")).status_code == 200
            ceiling = peak_mib(merit) + 4 * BODY_MIB + CACHE_MIB + SPARE_MIB
            statuses: Counter[int] = Counter()

            for _ in range(3):  # long bodies, far more of them at once than there is room for
                large = await asyncio.gather(*(ask(merit, str(place), size=40 * MIB) for place in range(8)))
                statuses.update(answer.status_code for answer in large)
                assert all(answer.headers.get("retry-after") for answer in large if answer.status_code == 503)
            assert statuses.keys() == {200, 503}
            assert (await ask(merit, "too long", size=51 * MIB)).status_code == 413

            for start in range(0, 3000, 50):  # more answers than the cache has room for, and names that nobody has
                asked = [ask(merit, f"question {start + place}") for place in range(50)]
                asked += [ask(merit, "who?", model=f"nobody-{start + place}") for place in range(10)]
                statuses.update([answer.status_code for answer in await asyncio.gather(*asked)])
            assert statuses.keys() == {200, 404, 503}
            assert statuses[404] == 600

            print(f"peak {peak_mib(merit):.0f} MiB of {ceiling:.0f}")
            assert peak_mib(merit) < ceiling
            assert (await ask(merit, "as ever")).status_code == 200
            assert await merit.ready() == 200
