"""OpenAI's Chat Completions in, Anthropic's Messages out. Pure: bytes to bytes.

Formats: https://platform.openai.com/docs/api-reference/chat and https://docs.anthropic.com/en/api/messages. What has no
counterpart in OpenAI's format travels in fields that others have made known: `reasoning_content` (DeepSeek),
`reasoning_details`, `native_finish_reason` (OpenRouter), `cache_control` (Anthropic's own, as OpenRouter and LiteLLM
take it); `citations` and `provider_blocks` carry Anthropic's objects as they are. A conversation sent back with them is
restored.
"""
