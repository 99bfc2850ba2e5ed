"""The standard's dictionary and SOP classes (PS3.6), made from pydicom's by `make`.

Tables of its own, and not pydicom itself: a worker and an agent then load in a moment, and what
judges hostile bytes has no library's reader in it.
"""
