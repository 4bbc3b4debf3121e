"""What a command that was cut off had done already, so that the next call need not do it again."""
