PROVIDES = "virtual/toolkit"
RPROVIDES:${PN} = "virtual-toolkit-runtime"
