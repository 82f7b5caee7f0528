# The tasks every recipe of the graph scenarios has, with one of each kind of dependency.

addtask fetch
addtask compile after do_fetch
addtask install after do_compile
addtask package after do_install
addtask image after do_install
addtask build after do_package

do_compile[deptask] = "do_install"
do_package[rdeptask] = "do_install"
do_image[recrdeptask] = "do_package"
do_build[recrdeptask] = "do_package"
do_build[noexec] = "1"

python do_fetch() {
}
do_compile() {
	:
}
do_install() {
	:
}
python do_package() {
}
python do_image() {
}
python do_build() {
}
addtask do_package_setscene
python do_package_setscene() {
}

addtask checkuri
do_checkuri[nostamp] = "1"
python do_checkuri() {
}
