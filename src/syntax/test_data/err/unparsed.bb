A = "1"
foo bar
