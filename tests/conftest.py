"""What all tests share."""

from hypothesis import settings

# no test measures time: a busy machine is no fault of the code
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
