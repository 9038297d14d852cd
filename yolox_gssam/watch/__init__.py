"""Watching cameras: from boxes on frames to tracks, alarms, a store of them, and those who are told.

Needs neither torch nor yolox: the network comes in through `yolox_gssam.watch.frame_detector.FrameDetector`.
"""
