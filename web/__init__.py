"""From a request to its answer, and the server around it."""
