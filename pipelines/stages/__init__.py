"""One file per stage: its options, its declaration, its function. Found by ``stage.discover``; import nothing here."""
