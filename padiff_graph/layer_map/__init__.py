"""Which sub-model corresponds to which: said by the user, found by the matcher, or kept in a file."""
