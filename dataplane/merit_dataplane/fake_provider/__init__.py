"""A simulated LLM vendor that speaks the OpenAI protocol and answers with recorded wire data.

It ships with Merit: the upstream of the demo, of tests and of whoever wants to try a failure before it happens. What it
answers is `recordings`; how it misbehaves is `behaviour`; what it was asked is `stats`.
"""
