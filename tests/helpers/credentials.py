"""The JWT secret of the applications under test."""

SECRET = "a-secret-of-the-tests-with-32-bytes-or-more"
