"""The command line: what it names, what it runs, what it shows meanwhile."""
