"""The page that reads numbers as they are written, and the server that reads pictures."""
