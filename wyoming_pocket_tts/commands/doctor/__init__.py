"""What the command ``doctor`` looks at, a module for each kind of thing, and how it tells what it found."""
