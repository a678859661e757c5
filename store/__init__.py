"""What is remembered: records of jobs, their files, and the events of work that goes on.

Every change of a record is one function here and a compare-and-swap in SQL: whoever changed no row has lost, and
looks again. No session outlives its function, so none is held while work runs.
"""

from store.open import Store, open_store

__all__ = ["Store", "open_store"]
