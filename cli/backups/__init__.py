"""Backups: a folder with the record's rows, the files of all jobs and a list of both, made and put back."""
