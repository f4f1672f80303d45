"""kombu's own integration tests, unchanged: `t/integration/common.py` of its source distribution 5.7.0, from PyPI.

Copyright and licence (BSD, three clauses) stand in `LICENSE` beside it. To renew it, unpack the source distribution of
the kombu that is pinned in requirements.txt, and copy both files. Our checks of style and types leave `common.py` out.
"""
