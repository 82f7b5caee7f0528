# Two versions of one recipe, and a newer one nobody should take by itself.
BBCLASSEXTEND = "native"
