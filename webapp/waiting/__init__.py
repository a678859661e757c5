"""Calls that wait for their job: made, shared with those that ask for the same, ended when nobody waits any more."""
