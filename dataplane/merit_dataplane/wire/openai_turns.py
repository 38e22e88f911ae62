"""OpenAI's messages as turns of protocols in which user and assistant alternate, and instructions stand apart."""

from collections.abc import Callable
from typing import Any

from merit_dataplane.wire.openai_anthropic.fields import a_list, an_object

Block = dict[str, Any]
Turn = Callable[[Block, str], tuple[str, list[Block]]]
"""Role and blocks of a message, whose place is named. Raises RequestError (400)."""


def turns_of(messages: Any, turn: Turn) -> tuple[list[Block], list[dict[str, Any]]]:
    """System blocks and turns; neighbours of one role are one. Raises RequestError (400) that names the field."""
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for place, given in enumerate(a_list(messages, "messages")):
        where = f"messages[{place}]"
        role, blocks = turn(an_object(given, where), where)
        if role == "system":
            system += blocks
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return system, turns
