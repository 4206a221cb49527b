"""Scripts on the public doors; each opens with its command, its time, its hardware and its expected result."""
