"""What a check finds, as data: a finding is a cause out of a closed list, with values, at a
place."""
