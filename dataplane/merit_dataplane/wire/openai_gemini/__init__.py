"""OpenAI's Chat Completions and embeddings in, Google's Gemini out. Pure: bytes to bytes.

Formats: https://platform.openai.com/docs/api-reference, https://ai.google.dev/api/generate-content and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference. What has no counterpart in OpenAI's
format travels in fields that others have made known: `reasoning_content` (DeepSeek), `reasoning_details`, `images`,
`native_finish_reason` (OpenRouter), `extra_content.google` (Google's own OpenAI endpoint); `grounding_metadata`,
`safety_ratings` and `provider_blocks` carry Gemini's objects as they are. A conversation sent back with them is
restored.
"""
