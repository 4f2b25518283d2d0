"""Where the control routes are, which no fault touches and no record shows."""

CONTROL_PREFIX = "/_control/"
