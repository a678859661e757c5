"""What a request brings, on its way to jobs: bodies taken apart while they arrive, options read and checked."""
