"""The control plane: watches, compiles, pushes, writes status. It never serves a client.

Law: one way only. Kubernetes -> `store` -> `controller` (compile) -> `push` -> `status`. kopf's events are hints; an
authoritative list is the truth. Nothing is written into a user's object but its status. Only the leader pushes and
writes; every push carries its term.
"""
