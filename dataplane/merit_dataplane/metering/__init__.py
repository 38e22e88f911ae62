"""Tokens and money, expected before a call and real after it; latency as it is measured."""
