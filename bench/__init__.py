"""Measurements that take too long for the test suite; not part of the installed package."""
