"""Accuracy, as clients' feedback shows it.

    POST /v1/feedback -> the id says whose answer it was -> tally of that candidate -> belief -> what meets the floor

The law: an answer's id carries all that is needed to score it, so any pod can, at any time, and nothing is looked up
or kept per answer until it is scored. An answer counts once, by its last score. Whatever is missing (Redis, disk) costs
memory of the past, never a request. No text is kept.
"""
