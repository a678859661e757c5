"""Recordings from other people's servers, and the guard before every request that clients make us send."""
