"""`python -m padiff_graph`: the command line."""

from padiff_graph.cli.commands import main

if __name__ == "__main__":
    main()
