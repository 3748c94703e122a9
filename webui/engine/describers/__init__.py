"""Networks that describe pictures in words: captioners and taggers."""
