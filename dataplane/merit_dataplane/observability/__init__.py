"""Metrics and the usage log. Written to at the end of a request, read by Prometheus and people; decides nothing."""
