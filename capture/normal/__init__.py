"""One vocabulary for all frameworks: tables, rewrites, index maps."""
