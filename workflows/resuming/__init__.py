"""What a command that was cut off had done already, so that the next call need not do it again.

Of ``predict``, ``convert``, ``evaluate`` and ``cross_validate``; a training goes on from its ``checkpoints``.
"""
