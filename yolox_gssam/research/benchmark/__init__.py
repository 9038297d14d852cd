"""What this package costs in time and memory, against stock YOLOX and against itself: tools/benchmark.py.

Every number that is compared comes from variants measured in turn in one call, so that a machine that slows down slows
all of them.
"""
