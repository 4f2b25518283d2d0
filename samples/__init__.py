"""Believable data of any size."""
