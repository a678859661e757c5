"""Recordings that come in pieces, by the protocol tus."""
