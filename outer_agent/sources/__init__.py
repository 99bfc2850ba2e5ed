"""Sources: how messages come in. One file a protocol behind `base.Source`; `registry` builds."""
