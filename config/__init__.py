"""What an operator turns: settings, logging, gunicorn, Flower. Read once at start and handed down."""
