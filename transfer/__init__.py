"""Data in, through and out: files, a live gateway, checks, exports."""
