"""Vendors that speak OpenAI's Chat Completions with a difference: a table of what differs, and what is done about it.

Who is not in the table gets the client's bytes, and is heard as OpenAI is.
"""
