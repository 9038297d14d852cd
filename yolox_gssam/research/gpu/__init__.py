"""Minutes on a rented GPU: what is taken along, what is checked, timed and trained there, and in which order."""
