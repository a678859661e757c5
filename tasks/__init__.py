"""Celery and nothing else: which work is queued where, who runs it, what happens when that fails.

No decision about audio or text is made here.
"""
