"""What leaves the tool: graphs in other tools' formats, a finding as a script, a structure as a lock file."""
