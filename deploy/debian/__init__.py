"""Debian packages of the two agents, and the bundle that carries them to hosts without a network.

`package` says what the packages are; `wheels` fetches and builds what goes into them; `environment`
lays out the virtual environment; `tree` the whole package; `build` makes the .deb files. `bundle`
adds what a bare Debian lacks, the bill of materials and the licences.
"""
