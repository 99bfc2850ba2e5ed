"""CSV (RFC 4180) with declared columns: read strictly, judged by column, rebuilt in one form."""
