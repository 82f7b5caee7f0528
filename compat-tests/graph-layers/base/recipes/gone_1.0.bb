PROVIDES = "virtual/gone"
RPROVIDES:${PN} = "gone-runtime"
python () {
    raise bb.parse.SkipRecipe("not for this machine")
}
