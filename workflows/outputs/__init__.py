"""What ``predict`` leaves behind for each study, and what of it is there already."""
