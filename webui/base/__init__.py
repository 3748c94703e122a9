"""What every other part of the program may import: errors, paths, logging. Standard library only."""
