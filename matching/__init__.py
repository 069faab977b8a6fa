"""Which value, operation, module and parameter of one model corresponds to which of another."""
