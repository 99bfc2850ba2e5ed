"""De-identification: what is known of a person goes, or is replaced under a key.

`methods` and what it is made of (`dates`, `ages`, `regions`, `keyed`) are pure: a value, a key and
a patient in, a value out. One file a family knows where its messages keep such data. `leftovers`
looks through what comes out, whoever made it. docs/deidentification.md says what becomes of what.
"""
