"""File formats: pictures read, clips written."""
