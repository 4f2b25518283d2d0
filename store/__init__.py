"""Opening and reading a gateway's database, and writing our own."""
