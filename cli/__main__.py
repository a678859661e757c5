"""`python -m cli` is `longhand`."""

from cli.main import main

main()
