"""Which sub-model corresponds to which: said by the user, matched, or kept in a file."""
