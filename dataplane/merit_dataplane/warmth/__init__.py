"""Which prompt prefixes a provider has in its own cache, as its `usage` shows. Keeps hashes, never a text."""
