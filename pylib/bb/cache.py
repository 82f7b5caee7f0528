"""File names of recipes, their class extensions and multiconfigs; values kept between builds."""

from bb._recipefacts import RecipeFacts
from bb._simplecache import SimpleCache


def virtualfn2realfn(virtualfn):
    """`[mc:MC:][virtual:CLASS:]FILE` -> (FILE, CLASS, MC)."""
    mc = ""
    if virtualfn.startswith("mc:") and virtualfn.count(":") >= 2:
        _, mc, virtualfn = virtualfn.split(":", 2)
    cls = ""
    if virtualfn.startswith("virtual:"):
        cls, _, virtualfn = virtualfn[len("virtual:") :].rpartition(":")
    return virtualfn, cls, mc


def realfn2virtual(realfn, cls, mc):
    """(FILE, CLASS, MC) -> `[mc:MC:][virtual:CLASS:]FILE`."""
    if cls:
        realfn = "virtual:" + cls + ":" + realfn
    if mc:
        realfn = "mc:" + mc + ":" + realfn
    return realfn


def variant2virtual(realfn, variant):
    """(FILE, variant as stored with a recipe) -> `[mc:MC:][virtual:CLASS:]FILE`."""
    if variant == "":
        return realfn
    if variant.startswith("mc:") and variant.count(":") >= 2:
        _, mc, cls = variant.split(":", 2)
        return realfn2virtual(realfn, cls, mc)
    return "virtual:" + variant + ":" + realfn
