"""Answers that may be served again. A cache that fails serves nothing; it never fails a request."""
