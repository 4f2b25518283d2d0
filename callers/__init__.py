"""Callers: API keys, tokens, virtual keys, and what each of them sees."""
