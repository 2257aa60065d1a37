"""What the reader's network learns from, how it is trained, calibrated and exported."""
