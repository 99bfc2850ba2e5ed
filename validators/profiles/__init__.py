"""Ready channel profiles: what a security administrator starts a channel from.

A profile is a folder: profile.toml (whitelists, limits, and what suits both policies), the schema
that it names, messages that it accepts, and messages that it refuses, named after the reason.
"""

from validators.profiles.profile import Profile, Refusal, load, names

__all__ = ["Profile", "Refusal", "load", "names"]
