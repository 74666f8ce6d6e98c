"""What tests share: servers as real processes."""
