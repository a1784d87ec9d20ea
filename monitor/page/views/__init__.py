"""The views: plots and tables, one file each, that read from the hub at their viewer's rate."""
