"""What the base hashes of recipes are made of, looked up natively when asked for. bb.cache offers this."""

import _hz_siggen

# Everybody knows it as bb.cache's.
__name__ = "bb.cache"


class RecipeFacts(dict):
    """`siggen_taskdeps`, `siggen_gendeps` or `siggen_varvals` by recipe file."""

    def __init__(self, mc, name):
        super().__init__()
        self._name = name

    def __missing__(self, mcfn):
        value = self[mcfn] = _hz_siggen.signature_part(mcfn, self._name)
        return value

    def __contains__(self, mcfn):
        return super().__contains__(mcfn) or _hz_siggen.has_signatures(mcfn)

    def get(self, mcfn, default=None):
        return self[mcfn] if mcfn in self else default
