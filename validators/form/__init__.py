"""Forms (application/x-www-form-urlencoded) with declared fields: read strictly, rebuilt."""
