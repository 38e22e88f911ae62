"""Bytes of the OpenAI protocol to what Merit needs to know, and back. Pure: no I/O, no snapshot."""
