"""The routes under /_control/ and the faults, with which tests drive the service."""
