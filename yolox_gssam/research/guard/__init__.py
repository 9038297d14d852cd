"""Whole films measured as a guard would: which drones raise an alarm, how soon, and how often one is false."""
