"""What differs, by vendor. Each row is from the vendor's documentation, its errors, or its recorded exchanges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from merit_dataplane.wire.features import Feature

_MAX_TOKENS: Final = {"max_completion_tokens": "max_tokens"}
"""The older name alone is known: the newer is ignored there, and with it the client's limit, or refused."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """How one vendor differs from OpenAI."""

    hosts: tuple[str, ...] = ()
    """Ends of host names by which it is known where the Provider doesn't say."""
    renamed: Mapping[str, str] | None = None
    """OpenAI's name of a field to its own."""
    knows: frozenset[str] | None = None
    """It refuses a request with any other field, by its own names; None: it takes what it doesn't know."""
    refuses: frozenset[str] = frozenset()
    """Fields that it refuses."""
    message_knows: frozenset[str] | None = None
    """The same of a message."""
    lacks: int = 0
    """Bits of what none of its models has, whatever price lists say: such a request goes to others."""
    asks_for_usage: bool = True
    """Whether it takes `stream_options`; else its streams end with usage unasked."""
    marks_end: bool = True
    """Whether its streams end with [DONE]; else a finish reason and a proper end of the body must do."""


VENDORS: Final[Mapping[str, Vendor]] = {
    "Mistral": Vendor(
        hosts=("api.mistral.ai",),
        renamed={**_MAX_TOKENS, "seed": "random_seed"},
        knows=frozenset(
            {
                "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "metadata",
                "response_format", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "n", "prediction",
                "parallel_tool_calls", "prompt_mode", "reasoning_effort", "guardrails", "safe_prompt", "service_tier",
                "prompt_cache_key",
            }
        ),
        message_knows=frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "prefix"}),
        lacks=Feature.LOGPROBS,
        asks_for_usage=False,
    ),
    "DeepSeek": Vendor(hosts=("api.deepseek.com",), renamed=_MAX_TOKENS, lacks=Feature.CHOICES),
    "Groq": Vendor(
        hosts=("api.groq.com",),
        refuses=frozenset({"logit_bias", "logprobs", "top_logprobs"}),
        lacks=Feature.CHOICES | Feature.LOGPROBS,
    ),
    "Together": Vendor(hosts=("api.together.xyz", "api.together.ai"), renamed=_MAX_TOKENS),
    "Ollama": Vendor(hosts=("ollama.com",), renamed=_MAX_TOKENS, lacks=Feature.CHOICES),
    "Perplexity": Vendor(
        hosts=("api.perplexity.ai",), renamed=_MAX_TOKENS, lacks=Feature.CHOICES | Feature.LOGPROBS, marks_end=False
    ),
    "ZAI": Vendor(
        hosts=("api.z.ai", "open.bigmodel.cn"), renamed=_MAX_TOKENS, lacks=Feature.CHOICES | Feature.LOGPROBS
    ),
    "GPUStack": Vendor(marks_end=False),
}  # fmt: skip
"""By the `vendor` of a Provider. OpenAI, xAI, OpenRouter, vLLM and others need no row."""


def vendor_of(name: str, host: str) -> Vendor | None:
    """The row of a Provider: by its `vendor`, else by its endpoint's host. None: it differs in nothing."""
    if name:
        return VENDORS.get(name)
    for vendor in VENDORS.values():
        if any(host == known or host.endswith(f".{known}") for known in vendor.hosts):
            return vendor
    return None
