"""One try of one endpoint: bytes out, bytes in. Knows no prices and no routes."""
