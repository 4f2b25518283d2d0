"""The command line: thin wrappers over plain functions."""
