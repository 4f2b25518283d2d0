"""The database as of one moment, as bytes, and when it is taken."""
