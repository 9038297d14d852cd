"""Image classifiers with attention at five points: Table 1 of the GSSAM paper."""

from yolox_gssam.classification.networks import NETWORKS, build_classifier, load_classifier

__all__ = ["NETWORKS", "build_classifier", "load_classifier"]
