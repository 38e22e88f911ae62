"""OpenAI's Responses in, Chat Completions out, for a client that speaks the former. Pure: bytes to bytes.

Format: https://platform.openai.com/docs/api-reference/responses. Nothing is stored: `store` is answered with false, and
what would need a store is refused. What only the vendor's own Responses can do (built-in tools, files by id) is listed
(`only_there`), and keeps the request with models that have the capability `Responses`, which get the client's own bytes
(`responses_responses`).
"""
