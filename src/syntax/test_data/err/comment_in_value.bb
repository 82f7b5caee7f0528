A = "x \
# no
 y"
