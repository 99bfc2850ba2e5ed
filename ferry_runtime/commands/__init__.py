"""The command line tools that belong to neither agent: ferry-keys and ferry-audit."""
