"""What the plug-ins that read layer indexes are made from."""


class LayerIndexPluginException(Exception):
    def __init__(self, message):
        self.msg = message
        super().__init__(message)

    def __str__(self):
        return self.msg


class LayerIndexPluginUrlError(LayerIndexPluginException):
    """The plug-in is not for this kind of address."""

    def __init__(self, plugin, url):
        self.plugin = plugin
        self.url = url
        super().__init__("%s does not support %s:" % (plugin, url))


class IndexPlugin:
    """Reads (and perhaps writes) indexes of one kind; `type` is its name."""

    def __init__(self):
        self.type = None

    def init(self, layerindex):
        self.layerindex = layerindex

    def plugin_type(self):
        return self.type

    def load_index(self, uri, load=()):
        raise NotImplementedError("load_index is not implemented")

    def store_index(self, uri, index):
        raise NotImplementedError("store_index is not implemented")
