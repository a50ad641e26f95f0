"""Use cases of verifications: single ones, batches of them, and what people decide about them."""
