"""The parts of a made-up patient: a head, the scan of it, and the study that a hospital would send."""
