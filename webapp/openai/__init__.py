"""What OpenAI's clients ask for, answered as they expect it: transcriptions, translations, models."""

from webapp.openai.views import routes

__all__ = ["routes"]
