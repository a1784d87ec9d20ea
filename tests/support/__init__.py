"""What tests share: each module says in its first sentence what it holds."""
