"""Commitments as this pod knows them: what is left of each, what is asked for, and at which pace it is drawn."""
