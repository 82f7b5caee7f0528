# A program with build time and runtime dependencies.
DEPENDS = "lib virtual/toolkit"
RDEPENDS:${PN} = "runner data-files"
RRECOMMENDS:${PN} = "docs"
