"""The Transformers server: one model behind the OpenAI API, in its own container; imports nothing of the rest."""
