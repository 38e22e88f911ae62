"""How requests prove to a vendor who sends them. Keys that never change are put in place when a snapshot is built; what
must be fetched, renewed or signed stands here. Tokens outlive snapshots. No secret is logged or said in an error."""
