"""The command line: what it names and what it runs."""
