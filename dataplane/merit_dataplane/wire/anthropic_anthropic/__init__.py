"""Anthropic's Messages in and out. The model's name, and cost in `usage`, are all that changes.

The request is the client's own; the answer rides beside its translation (`passenger`). What Merit itself put into an
answer of another vendor's (`sealed`) is taken out again before Anthropic sees it.
"""
