"""Which candidates may serve a request, and in which order. Pure: time is an argument."""
