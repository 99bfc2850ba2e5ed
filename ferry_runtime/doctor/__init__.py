"""What `ferry-outer doctor` and `ferry-inner doctor` share: findings, looks at a host, verdicts.

Observation (`host.py`, `medium.py`) returns values and decides nothing; `verdicts.py` makes
findings of values and looks at nothing; `looks.py` bounds the time of both.
"""
