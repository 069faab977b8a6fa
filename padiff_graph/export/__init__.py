"""What leaves the tool: graphs in other formats, a finding as a script, a structure as a file."""
