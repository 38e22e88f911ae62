"""What the models behind Bedrock can do that its format doesn't tell, by the name in a model's id.

An id may be bare, an inference profile's (`us.anthropic.…`) or an ARN. An application profile's ARN names no model: it
is taken for one of Claude's that knows no schemas, which asks for the least that most models there can do.
"""

import re

_WITH_SCHEMA = re.compile(
    r"anthropic\.claude-(?:(?:haiku|sonnet|opus)-4-[56]|(?:haiku|sonnet|opus|fable)-5)"
    r"|qwen\.qwen3|openai\.gpt-oss|deepseek\.(?:v3|v4)"
    r"|mistral\.(?:magistral|ministral|mistral-large-3|voxtral)|google\.gemma-3|nvidia\.nemotron|minimax\.minimax-m2"
    r"|moonshot(?:ai)?\.kimi"
)
"""https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html"""
_ADAPTIVE = re.compile(r"anthropic\.claude-(?:(?:haiku|sonnet|opus)-4-[6-9]|(?:haiku|sonnet|opus|fable)-5)")
"""Claude that decides itself how long it thinks, and is told an effort."""
_CLAUDE = re.compile(r"anthropic\.claude")
_NOVA = re.compile(r"amazon\.nova")
_GPT_OSS = re.compile(r"openai\.gpt")
_HIDDEN = "application-inference-profile"
_FORCED = re.compile(rf"anthropic\.claude|amazon\.nova|mistral\.|{_HIDDEN}")
"""https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html"""


def is_claude(model: str) -> bool:
    """Whether it is one of Anthropic's."""
    return _CLAUDE.search(model) is not None


def is_nova(model: str) -> bool:
    """Whether it is one of Amazon's own Nova models."""
    return _NOVA.search(model) is not None


def is_gpt_oss(model: str) -> bool:
    """Whether it is one of OpenAI's open models."""
    return _GPT_OSS.search(model) is not None


def thinks_adaptively(model: str) -> bool:
    """Whether its thinking is told by an effort, not by a budget."""
    return _ADAPTIVE.search(model) is not None


def keeps_to_schemas(model: str) -> bool:
    """Whether `outputConfig.textFormat` and `strict` tools are understood."""
    return _WITH_SCHEMA.search(model) is not None


def can_be_forced(model: str) -> bool:
    """Whether `toolChoice` may be `any` or name a tool."""
    return _FORCED.search(model) is not None


def format_of_thoughts(model: str) -> str:
    """OpenRouter's name of what its thoughts look like. A profile's ARN hides the model: most that sign are Claude."""
    return "anthropic-claude-v1" if is_claude(model) or _HIDDEN in model else "unknown"
