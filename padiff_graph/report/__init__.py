"""One result object and its views."""
