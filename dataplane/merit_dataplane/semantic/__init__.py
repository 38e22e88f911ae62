"""Questions in other words that share an answer. Knows vectors and hashes, never an answer or a word.

What it finds is the key of an answer that the exact cache has, or had: whether that may still be served is the exact
cache's matter. It may be wrong, as nothing else here may: so nothing of it runs unless a route asks for it.
"""
