"""What is seen of training frameworks; none of them is imported here."""
