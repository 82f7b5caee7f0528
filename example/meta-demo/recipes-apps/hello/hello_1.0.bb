SUMMARY = "A program that uses the library"
DEPENDS = "libgreet"
SRC_URI = "file://hello.c"
LIBS = "-l:libgreet.a"

inherit cprogram
