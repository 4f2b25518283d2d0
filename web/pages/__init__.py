"""The page for people, and the descriptions of the API."""
