"""Numbers for Prometheus, at /metrics."""
