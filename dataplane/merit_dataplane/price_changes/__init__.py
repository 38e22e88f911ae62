"""What a change of price lists does: read, compare, tell. Only `price_files` touches the disk."""
