"""What a training shows of itself: its page, its pictures and its TensorBoard files."""
