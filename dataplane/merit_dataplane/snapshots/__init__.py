"""The snapshot in force: how it is built into tables, swapped, and where it comes from."""
