"""The views: one file each, every one pulls from the hub at its viewer's pace."""
