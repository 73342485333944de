"""The background side: what is due by the clock."""
