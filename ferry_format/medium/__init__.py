"""Where ferry files are published and read: a directory that both hosts see.

`layout` names things, `writer` publishes (outer), `reader` and `safe_open` read (inner), `watch` is
a hint that something came. SPEC.md, chapter 8.
"""
