SUMMARY = "Greets whoever is named"
SRC_URI = "file://greet.c file://greet.h"
SOURCES = "greet.c"

inherit cprogram
