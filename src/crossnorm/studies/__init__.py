"""Ready study files; data, no code."""
