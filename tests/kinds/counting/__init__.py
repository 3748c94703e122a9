"""A kind of job that counts, for as long as it is told, and can go on from any number that it has reached."""
