"""DICOM (PS3.5, PS3.10): a file is walked, judged and rebuilt piece by piece, in bounded memory.

`walker` reads the structure, `elements` says what becomes of each element, `validator` offers both
to a channel. The dictionary and the character sets are pydicom's.
"""
