"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# No limit of time: other tests may have the machine. Hypothesis' own 200 ms failed tests now and then, without a fault.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
