"""Recorded requests priced and dispatched anew, by columns: what `merit usage`, `recost` and `plan` stand on.

Needs numpy and polars (the extra `plan`); what serves requests never imports it. Agrees with the scalar code to the
pico-dollar: `pricing` is the one place that knows what a price depends on.
"""
