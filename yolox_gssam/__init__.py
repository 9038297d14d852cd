"""YOLOX with global-sampling spatial attention, for small drones in images and video."""

import os

__version__ = "0.1.0"

# OpenMP's threads spin while they wait for one another: beside another busy program they take the time that the one
# they wait for needs, and training falls to a tenth. Read once, when torch is loaded; a user's own setting wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
