"""Tracks of small targets: which boxes of a film show one thing. Needs scipy besides what detection needs."""
