PACKAGES_DYNAMIC = "^plugin-.* ^plug+in"
PE = "1"
