# Either kit-a or kit-b is the toolkit.
PROVIDES = "virtual/toolkit"
RPROVIDES:${PN} = "virtual-toolkit-runtime"
DEPENDS = "lib-native"
