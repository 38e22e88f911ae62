"""OpenAI's Chat Completions in, Amazon Bedrock's Converse and ConverseStream out; Embeddings in, InvokeModel out.

Pure: bytes to bytes.

Formats: https://platform.openai.com/docs/api-reference/chat,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and …ConverseStream.html. What has no
counterpart in OpenAI's format travels in the same fields as Anthropic's (`openai_anthropic`): `reasoning_content`,
`reasoning_details`, `native_finish_reason`, `cache_control`, `citations`, `provider_blocks`; and in `provider_metadata`
what Bedrock says beside the answer: metrics, guardrail traces. A conversation sent back with them is restored.
"""
