"""What every plug-in of bitbake-layers is made from."""

import argparse
import logging
import os

import _hz_parse

logger = logging.getLogger("bitbake-layers")


class LayerPlugin:
    """A plug-in: after tinfoil_init it knows the cooker and the configured layers."""

    def __init__(self):
        self.tinfoil = None
        self.bblayers = []

    def tinfoil_init(self, tinfoil):
        d = tinfoil.config_data
        self.tinfoil = tinfoil
        self.bblayers = (d.getVar("BBLAYERS") or "").split()
        # A collection's layer is where the layer.conf is that names it.
        files = d.varhistory.get_variable_items_files("BBFILE_COLLECTIONS")
        self.bbfile_collections = {name: os.path.dirname(os.path.dirname(path)) for name, path in files.items()}

    @staticmethod
    def add_command(subparsers, cmdname, function, parserecipes=True, *args, **kwargs):
        """Adds a sub-command; the first line of the function's docstring is its help, the rest (if
        any) its description. With `parserecipes` all recipes are parsed before it runs."""
        summary, *rest = function.__doc__.splitlines()
        parser = subparsers.add_parser(
            cmdname,
            *args,
            help=summary,
            description="\n".join(rest) if rest else summary,
            formatter_class=argparse.RawTextHelpFormatter,
            **kwargs,
        )
        parser.set_defaults(func=function, parserecipes=parserecipes)
        return parser

    def get_layer_name(self, layerdir):
        return os.path.basename(layerdir.rstrip(os.sep))

    def layer_of(self, filename):
        """The directory of the layer that a file belongs to, or None."""
        known = self.__dict__.setdefault("_layer_of", {})
        if filename not in known:
            known[filename] = self.bbfile_collections.get(_hz_parse.file_layer(filename, self.tinfoil.config_data))
        return known[filename]

    get_file_layerdir = layer_of

    def get_file_layer(self, filename):
        """The name of the layer that a file belongs to, or `?`."""
        layerdir = self.layer_of(filename)
        return self.get_layer_name(layerdir) if layerdir else "?"
