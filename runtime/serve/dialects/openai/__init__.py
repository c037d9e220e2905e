"""OpenAI's dialect, and Mistral's FIM."""
