PACKAGES =+ "data-files"
RDEPENDS:data-files = "plugin-main"
