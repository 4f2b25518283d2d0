"""Who calls, and what that caller sees."""
