"""The one importable name of the installed package; the service itself is not imported
with it, and the names of its modules stay free for others.
"""
