"""What `status` shows, the same on both sides: well or not, crossed today, waiting, refused."""
