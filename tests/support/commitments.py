"""A vendor with a commitment, and what is asked of it: 1,000 tokens in and out, 0.02 USD by the list."""

import json
from typing import Any

from tests.support.gateway import Running, Script, says
from tests.support.resources import prices

ASK = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}


def answer(prompt: int = 1000, completion: int = 1000) -> Script:
    """One whole answer with this usage."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return says(json.dumps({"id": "x", "model": "m", "choices": [], "usage": usage}).encode())


def committed(terms: str, *, name: str = "dear", input_usd: str = "4", output_usd: str = "16") -> str:
    """Prices of `dear-model`, with the commitment `deal` of these terms."""
    listed = f"""  commitments:
    - name: deal
      starts: "2026-01-01T00:00:00Z"
      {terms}
"""
    return prices(name, input_usd, output_usd).replace("  models:\n", f"{listed}  models:\n")


async def asked(merit: Running, body: Any = ASK) -> dict[str, str]:
    """The headers of an answer, `who` gave it, and its `text`."""
    got = await merit.post(body)
    assert got.status_code == 200, got.text
    return {"who": got.headers["x-merit-provider"], "text": got.text, **got.headers}
