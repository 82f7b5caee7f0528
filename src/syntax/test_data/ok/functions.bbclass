# a class
inherit base ${@'x'}
inherit_defer native
EXPORT_FUNCTIONS do_a do_b
do_a() {
	echo a
}

fakeroot do_b () {
    # comment stays
    echo }

}
python do_c () {
	tab = 1
    if d:
        pass

}
fakeroot python do_d:append(){
}
python () {
    pass
}
python __anonymous () {
    bb.note("x")
}
() {
    x
}
${PN}-x.y+z () {
    :
}
def f(d, e):
    return 1
# comment in the body

    return 2

def g(d): return 3
X = "1"
addtask a after b before c # comment
addtask do_d do_e after f before g after h
addtask i before j
deltask a ${X} # comment
addhandler h1 h2
Y = "a \
     b"
def last(d):
    pass

