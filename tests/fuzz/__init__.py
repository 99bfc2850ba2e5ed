"""Fuzzing: inputs that coverage finds, held against what each parser promises. README.md here."""
