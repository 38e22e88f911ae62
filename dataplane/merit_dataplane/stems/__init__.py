"""Stems: beginnings that answers to alike questions have in common, given to the next model as an assistant prefix.

    wording    a question as words, without what its route says does not matter
    critical   which of them no answer may be indifferent to: numbers, names, dates, negations, currencies
    opening    the openings of a question, longest first
    record     what is known of one opening; a value that is never changed
    learning   what one more answer, or score, makes of it
    gate       whether it may be used
    library    what this pod knows, bounded by bytes; `shelf` what all pods know

All but the last line is pure: time and chance are arguments. `stages/stems.py` asks them for each request.
"""
