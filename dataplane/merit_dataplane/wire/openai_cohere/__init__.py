"""OpenAI's Chat Completions and Embeddings in, Cohere's v2 out. Pure: bytes to bytes.

Formats: https://platform.openai.com/docs/api-reference/chat, https://docs.cohere.com/reference/chat,
https://docs.cohere.com/reference/chat-stream, https://docs.cohere.com/reference/embed. What has no counterpart in
OpenAI's format travels in the same fields as Anthropic's (`openai_anthropic`): `reasoning_content`,
`reasoning_details`, `native_finish_reason`, `citations`; `documents` and Cohere's other own fields are taken as they
are.
"""
