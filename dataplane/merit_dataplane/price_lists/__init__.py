"""Price lists of others to ProviderPricing, and what a change of them does. Pure: documents in, documents out.

A reader per source makes quotes of it; one writer makes resources of quotes, as far as they can say them. What a reader
or the writer can't take over is listed with its path, its value and the reason: nothing is dropped in silence, and no
unknown price becomes 0. It stands in the data plane and not in `merit_crds`, since no contract between the planes
needs it.
"""
