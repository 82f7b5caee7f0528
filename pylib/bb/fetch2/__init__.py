"""Bringing sources here: the classes that metadata, layers and tools work with.

What they do is done natively (`_hz_fetch`). A layer may add methods of its own to `methods`, also
subclasses of ours; such objects are called where the native ones would have been.
"""

import collections
import logging
import os
import sys

import _hz_fetch as _native

import bb.checksum
import bb.event
import bb.utils

__version__ = "2"

logger = logging.getLogger("BitBake.Fetcher")

CHECKSUM_LIST = ["goh1", "md5", "sha256", "sha1", "sha384", "sha512"]
SHOWN_CHECKSUM_LIST = ["sha256"]

_checksum_cache = bb.checksum.FileChecksumCache()
_revisions_cache = bb.checksum.RevisionsCache()


# -- errors

class BBFetchException(Exception):
    """The root of what fetching raises."""

    def __init__(self, message):
        super().__init__(message)
        self.msg = message

    def __str__(self):
        return self.msg

    def _say(self, message, *args, **attributes):
        BBFetchException.__init__(self, message)
        self.args = args
        self.__dict__.update(attributes)


class UntrustedUrl(BBFetchException):
    """The host is not in BB_ALLOWED_NETWORKS."""

    def __init__(self, url, message=""):
        self._say(message or "The URL: '%s' is not trusted and cannot be used" % url, url, url=url)


class MalformedUrl(BBFetchException):
    def __init__(self, url, message=""):
        self._say(message or "The URL: '%s' is invalid and cannot be interpreted" % url, url, url=url)


class FetchError(BBFetchException):
    def __init__(self, message, url=None):
        where = " for URL: '%s'." % url if url else ":"
        self._say("Fetcher failure%s %s" % (where, message), message, url, url=url)


class ChecksumError(FetchError):
    """A download is not what the recipe says; `checksum` is what it has."""

    def __init__(self, message, url=None, checksum=None):
        super().__init__(message, url)
        self.checksum = checksum


class NoChecksumError(FetchError):
    """The recipe gives no checksum and BB_STRICT_CHECKSUM wants one."""


class UnpackError(BBFetchException):
    def __init__(self, message, url):
        self._say("Unpack failure for URL: '%s'. %s" % (url, message), message, url, url=url)


class LocalModificationsError(UnpackError):
    """A checkout that should be updated has changes."""

    def __init__(self, repodir, url, git_output):
        super().__init__(
            "Repository at %s has uncommitted changes, unable to update:\n%s\n"
            "Commit, stash or discard your changes and re-run the update." % (repodir, git_output), url)
        self.args = (repodir, url, git_output)


class RebaseError(UnpackError):
    """Commits of a checkout do not fit upon the new revision."""

    def __init__(self, repodir, url, git_output):
        super().__init__(
            "Repository at %s has local commits that could not be rebased onto the new upstream revision:\n%s\n"
            "Note: the 'dldir' remote points to the local download cache and may be used to resolve the conflict manually.\n"
            "Once resolved, re-run the update." % (repodir, git_output), url)
        self.args = (repodir, url, git_output)


class NoMethodError(BBFetchException):
    def __init__(self, url):
        self._say("Could not find a fetcher which supports the URL: '%s'" % url, url, url=url)


class MissingParameterError(BBFetchException):
    def __init__(self, missing, url):
        self._say("URL: '%s' is missing the required parameter '%s'" % (url, missing), missing, url,
                  missing=missing, url=url)


class ParameterError(BBFetchException):
    def __init__(self, message, url):
        self._say("URL: '%s' has invalid parameters. %s" % (url, message), message, url, url=url)


class NetworkAccess(BBFetchException):
    """The network is needed and forbidden."""

    def __init__(self, url, cmd):
        self._say(
            "Network access disabled through BB_NO_NETWORK (or set indirectly due to use of BB_FETCH_PREMIRRORONLY) "
            "but access requested with command %s (for url %s)" % (cmd, url), url, cmd, url=url, cmd=cmd)


class NonLocalMethod(Exception):
    """Only local files were wanted. Not a BBFetchException."""

    def __init__(self):
        super().__init__()


class MissingChecksumEvent(bb.event.Event):
    """A download without a checksum in the recipe; `checksums` has what it could be."""

    def __init__(self, url, **checksums):
        super().__init__()
        self.url = url
        self.checksums = checksums


# -- URLs

def _ordered(entries):
    """What a URL says by keys; metadata may see the type in a text."""
    return collections.OrderedDict(entries) if entries else {}


class URI(object):
    """A URL in parts: scheme, userinfo (username, password), hostname, port, path, params, query.
    `relative` is true for `file:name` and the like. `str()` puts it together again."""

    _relative_schemes = ["file", "git"]
    _netloc_forbidden = ["file"]

    def __init__(self, uri=None):
        parts = _native.uri_parse(uri or "")
        self.scheme, self.userinfo, self.hostname, self.port, self._path, params, query, self.relative = parts
        self.params, self.query = _ordered(params), _ordered(query)

    def __str__(self):
        text = self.scheme + (":" if self.relative else "://")
        if self.userinfo:
            text += self.userinfo + "@"
        text += self.hostport + self.path_quoted
        if self.query:
            text += "?" + "&".join("%s=%s" % (k, v) if v else k for k, v in self.query.items())
        for key, value in self.params.items():
            text += ";%s" % key if value is None else ";%s=%s" % (key, value)
        return text

    @property
    def hostport(self):
        return "%s:%d" % (self.hostname, self.port) if self.port else self.hostname

    @property
    def path(self):
        return self._path

    @path.setter
    def path(self, path):
        self._path = path
        self.relative = bool(path) and not path.startswith("/")

    @property
    def path_quoted(self):
        return _native.quote(self.path)

    @path_quoted.setter
    def path_quoted(self, path):
        self.path = _native.unquote(path)

    @property
    def username(self):
        return (self.userinfo or "").partition(":")[0]

    @username.setter
    def username(self, username):
        password = self.password
        self.userinfo = "%s:%s" % (username, password) if password else username

    @property
    def password(self):
        return (self.userinfo or "").partition(":")[2]

    @password.setter
    def password(self, password):
        self.userinfo = "%s:%s" % (self.username, password)


def decodeurl(url):
    """Type, host, path, user, password and parameters of a URL."""
    *parts, params = _native.decodeurl(url)
    return (*parts, _ordered(params))


def decodemirrorurl(url):
    """The same of a URL that may hold expressions."""
    *parts, params = _native.decodemirrorurl(url)
    return (*parts, collections.OrderedDict(params))


encodeurl = _native.encodeurl


# -- the methods and what they know of a URL

methods = []
urldata_cache = {}
saved_headrevs = {}


class _Watched(type):
    """Tells when a method class is changed after it was made: it is no longer the native one."""

    def __setattr__(cls, name, value):
        super().__setattr__(name, value)
        if not name.startswith("__") and name != "_patched":
            type.__setattr__(cls, "_patched", True)
            _native.methods_changed()


class FetchMethod(object, metaclass=_Watched):
    """What a way of fetching answers and does. `ud` is a FetchData."""

    def __init__(self, urls=None):
        self._urls = []

    @property
    def urls(self):
        return self._urls

    @urls.setter
    def urls(self, urls):
        self._urls = urls

    def setUrls(self, urls):
        self._urls = urls

    def getUrls(self):
        return self._urls

    def supports(self, urldata, d):
        return 0

    def localpath(self, urldata, d):
        return os.path.join(d.getVar("DL_DIR"), urldata.localfile)

    def supports_checksum(self, urldata):
        return urldata.localpath is not None and not os.path.isdir(urldata.localpath)

    def recommends_checksum(self, urldata):
        return False

    def cleanup_upon_failure(self):
        return True

    def verify_donestamp(self, ud, d):
        return verify_donestamp(ud, d)

    def update_donestamp(self, ud, d):
        update_stamp(ud, d)

    def need_update(self, ud, d):
        return not os.path.exists(ud.localpath)

    def supports_srcrev(self):
        return False

    def download(self, urldata, d):
        raise NoMethodError(urldata.url)

    def unpack(self, urldata, rootdir, data):
        _native.call("local", "unpack", urldata, data, rootdir)

    def unpack_update(self, urldata, rootdir, data):
        raise RuntimeError("No method available for this url type: %s" % urldata.type)

    def clean(self, urldata, d):
        bb.utils.remove(urldata.localpath)

    def ensure_symlink(self, target, link_name):
        if os.path.exists(link_name):
            return
        bb.utils.mkdirhier(os.path.dirname(link_name))
        if os.path.islink(link_name):
            os.unlink(link_name)
        try:
            os.symlink(target, link_name)
        except FileExistsError:
            pass

    def update_mirror_links(self, ud, origud):
        self.ensure_symlink(ud.localpath, origud.localpath)

    def try_premirror(self, urldata, d):
        return True

    def try_mirrors(self, fetch, urldata, d, mirrors, check=False):
        return bool(try_mirrors(fetch, d, urldata, mirrors, check))

    def checkstatus(self, fetch, urldata, d):
        logger.info("URL %s could not be checked for status since no method exists.", urldata.url)
        return True

    def latest_revision(self, ud, d, name):
        return _native.latest_revision(ud, d, name)

    def generate_revision_key(self, ud, d, name):
        return self._revision_key(ud, d, name)

    def sortable_revision(self, ud, d, name):
        return True, str(self._build_revision(ud, d, name))

    def latest_versionstring(self, ud, d):
        return ("", "")

    def done(self, ud, d):
        return os.path.exists(ud.localpath)

    def implicit_urldata(self, ud, d):
        return []

    def _strip_leading_slashes(self, relpath):
        return relpath.lstrip("/")


class NativeMethod(FetchMethod):
    """A method whose work is native. A class that names its native method in `_native` is that
    method; a subclass of it overrides what it wants."""

    def _call(self, operation, ud, d=None, extra=""):
        return _native.call(self._native, operation, ud, d, extra)

    def supports(self, ud, d):
        return self._call("supports", ud, d)

    def urldata_init(self, ud, d):
        self._call("urldata_init", ud, d)

    def localpath(self, ud, d):
        return self._call("localpath", ud, d)

    def supports_checksum(self, ud):
        return self._call("supports_checksum", ud)

    def recommends_checksum(self, ud):
        return self._call("recommends_checksum", ud)

    def cleanup_upon_failure(self):
        return self._cleanup_upon_failure

    def need_update(self, ud, d):
        return self._call("need_update", ud, d)

    def supports_srcrev(self):
        return self._supports_srcrev

    def download(self, ud, d):
        return self._call("download", ud, d)

    def build_mirror_data(self, ud, d):
        self._call("build_mirror_data", ud, d)

    def unpack(self, ud, rootdir, d):
        self._call("unpack", ud, d, rootdir)

    def unpack_update(self, ud, rootdir, d):
        return self._call("unpack_update", ud, d, rootdir)

    def clean(self, ud, d):
        self._call("clean", ud, d)

    def try_premirror(self, ud, d):
        return self._call("try_premirror", ud, d)

    def checkstatus(self, fetch, ud, d, try_again=True):
        return self._call("checkstatus", ud, d)

    def _revision_key(self, ud, d, name):
        return self._call("revision_key", ud, d, name)

    def _latest_revision(self, ud, d, name):
        return self._call("ask_latest_revision", ud, d, name)

    def _build_revision(self, ud, d, name=None):
        return ud.revision

    def sortable_revision(self, ud, d, name):
        return self._call("sortable_revision", ud, d, name)

    def latest_versionstring(self, ud, d):
        return self._call("latest_versionstring", ud, d)

    def done(self, ud, d):
        return self._call("done", ud, d)

    def implicit_urldata(self, ud, d):
        return self._call("implicit_urldata", ud, d)

    _cleanup_upon_failure = True
    _supports_srcrev = False


class DummyUnpackTracer(object):
    """What an unpack tracer (BB_UNPACK_TRACER_CLASS) is told; this one listens to nothing."""

    def start(self, unpackdir, urldata_dict, d):
        return

    def start_url(self, url):
        return

    def unpack(self, unpack_type, destdir):
        return

    def finish_url(self, url):
        return

    def complete(self):
        return


class FetchData(object):
    """What is known of one URL. Beside the attributes below, a method adds its own."""

    def __init__(self, url, d, localonly=False):
        self.setup = False
        self.method = None
        _native.urldata_init(self, url, d, localonly)

    def setup_revisions(self, d):
        self.revision = srcrev_internal_helper(self, d, self.name)

    def setup_localpath(self, d):
        if not self.localpath:
            self.localpath = self.method.localpath(self, d)

    def getSRCDate(self, d):
        return self.date


class _NoFetch(object):
    """Stands in for the Fetch object where a method is asked from within."""

    connection_cache = None


def _tracer(d):
    """The unpack tracer of this process; nested fetches share it."""
    global unpack_tracer
    try:
        return unpack_tracer
    except NameError:
        pass
    path = d.getVar("BB_UNPACK_TRACER_CLASS")
    if path:
        import importlib
        module, _, name = path.rpartition(".")
        unpack_tracer = getattr(importlib.import_module(module), name)()
    else:
        unpack_tracer = DummyUnpackTracer()
    return unpack_tracer


class Fetch(object):
    """Some URLs to be fetched, checked, unpacked or cleaned together."""

    def __init__(self, urls, d, cache=True, localonly=False, connection_cache=None):
        if localonly and cache:
            raise Exception("bb.fetch2.Fetch.__init__: cannot set cache and localonly at same time")
        self.urls = urls or d.getVar("SRC_URI").split()
        self.d = d
        self.ud = {}
        self.connection_cache = connection_cache
        key = None
        fn = d.getVar("FILE")
        if cache and fn:
            key = "%s%s%s" % (d.getVar("__BBMULTICONFIG") or "", fn, _native.store_id(d))
            self.ud = urldata_cache.get(key, self.ud)
        tracer = _tracer(d)
        for url in self.urls:
            if url in self.ud:
                continue
            try:
                self.ud[url] = ud = FetchData(url, d, localonly)
                ud.unpack_tracer = tracer
            except NonLocalMethod:
                if localonly:
                    self.ud[url] = None
        if key:
            urldata_cache[key] = self.ud

    def localpath(self, url):
        if url not in self.urls:
            self.ud[url] = FetchData(url, self.d)
        self.ud[url].setup_localpath(self.d)
        return self.ud[url].localpath

    def localpaths(self):
        return [self.localpath(url) for url in self.urls]

    def download(self, urls=None):
        urls = urls or self.urls
        _native.download(self.d, urls, [self.ud[url] for url in urls])

    def checkstatus(self, urls=None):
        urls = urls or self.urls
        _native.checkstatus(self.d, urls, [self.ud[url] for url in urls])

    def unpack(self, root, urls=None, update=False):
        tracer = _tracer(self.d)
        tracer.start(root, self.ud, self.d)
        for url in urls or self.urls:
            ud = self.ud[url]
            ud.setup_localpath(self.d)
            lock = bb.utils.lockfile(ud.lockfile) if ud.lockfile else None
            try:
                tracer.start_url(url)
                _native.unpack(self.d, ud, root, update)
                tracer.finish_url(url)
            finally:
                if lock:
                    bb.utils.unlockfile(lock)
        tracer.complete()

    def unpack_update(self, root, urls=None):
        self.unpack(root, urls, update=True)

    def clean(self, urls=None):
        for url in urls or self.urls:
            if url not in self.ud:
                self.ud[url] = FetchData(url, self.d)
            _native.clean(self.d, self.ud[url])

    def expanded_urldata(self, urls=None):
        expanded = []
        for url in urls or self.urls:
            ud = self.ud[url]
            expanded.append(ud)
            expanded.extend(ud.method.implicit_urldata(ud, self.d))
        return expanded


class FetchConnectionCache(object):
    """Open connections by host and port."""

    def __init__(self):
        self.cache = {}

    def get_connection_name(self, host, port):
        return "%s:%s" % (host, port)

    def add_connection(self, host, port, connection):
        self.cache.setdefault(self.get_connection_name(host, port), connection)

    def get_connection(self, host, port):
        return self.cache.get(self.get_connection_name(host, port))

    def remove_connection(self, host, port):
        connection = self.cache.pop(self.get_connection_name(host, port), None)
        if connection is not None:
            connection.close()

    def close_connections(self):
        while self.cache:
            self.cache.popitem()[1].close()


# -- mirrors

mirror_from_string = _native.mirror_from_string


def uri_replace(ud, uri_find, uri_replace, replacements, d, mirrortarball=None):
    return _native.uri_replace(ud, uri_find, uri_replace, replacements, d, mirrortarball)


def build_mirroruris(origud, mirrors, ld):
    return _native.build_mirroruris(origud, mirrors, ld)


def try_mirrors(fetch, d, origud, mirrors, check=False):
    return _native.try_mirrors(origud, d, mirrors, check) or None


# -- checksums

def verify_checksum(ud, d, precomputed={}, localpath=None, fatal_nochecksum=True):
    return _native.verify_checksum(ud, d, precomputed, localpath, fatal_nochecksum)


def verify_donestamp(ud, d, origud=None):
    return _native.verify_donestamp(ud, d, origud)


def update_stamp(ud, d):
    _native.update_stamp(ud, d)


def rename_bad_checksum(ud, suffix):
    _native.rename_bad_checksum(ud, suffix)


get_checksum_file_list = _native.get_checksum_file_list


def get_file_checksums(filelist, pn, localdirsexclude):
    return _checksum_cache.get_checksums(filelist, pn, localdirsexclude)


def localpath(url, d):
    return Fetch([url], d).localpath(url)


# -- revisions

def get_hashvalue(d, method_name="sortable_revision"):
    return _native.get_hashvalue(d, method_name)


def get_pkgv_string(d, method_name="sortable_revision"):
    return _native.get_pkgv_string(d, method_name)


def get_srcrev(d, method_name="sortable_revision"):
    return _native.get_srcrev(d, method_name)


def srcrev_internal_helper(ud, d, name):
    return _native.source_revision(ud, d, name)


def get_autorev(d):
    return _native.get_autorev(d)


def mark_recipe_nocache(d):
    _native.mark_recipe_nocache(d)


# -- commands and the network

FETCH_EXPORT_VARS = [
    "HOME", "PATH", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy",
    "FTPS_PROXY", "ftps_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "GIT_CONFIG_GLOBAL",
    "GIT_PROXY_COMMAND", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SMART_HTTP", "SSH_AUTH_SOCK",
    "SSH_AGENT_PID", "SOCKS5_USER", "SOCKS5_PASSWD", "DBUS_SESSION_BUS_ADDRESS", "P4CONFIG", "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "GIT_CACHE_PATH",
    "REMOTE_CONTAINERS_IPC", "GITHUB_TOKEN", "SSL_CERT_DIR",
]


def get_fetcher_environment(d):
    return _native.get_fetcher_environment(d, FETCH_EXPORT_VARS)


def runfetchcmd(cmd, d, quiet=False, cleanup=None, log=None, workdir=None):
    return _native.runfetchcmd(cmd, d, FETCH_EXPORT_VARS, cleanup, log, workdir)


def check_network_access(d, info, url):
    _native.check_network_access(d, info, url)


trusted_network = _native.trusted_network


def subprocess_setup():
    """For preexec_fn: children get the usual handling of broken pipes."""
    import signal
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


# -- start and end

def fetcher_init(d, servercontext=True):
    bb.checksum.open_caches(d, servercontext)
    if not servercontext:
        return
    for method in methods:
        if hasattr(method, "init"):
            method.init(d)


def fetcher_parse_save():
    _native.cache_save()


def fetcher_parse_done():
    _native.cache_merge()


def fetcher_compare_revisions(d):
    """Has a revision changed since the server started?"""
    return _native.revisions_changed()


from . import local
from . import wget
from . import svn
from . import git
from . import gitsm
from . import gitannex
from . import ssh
from . import sftp
from . import s3
from . import perforce
from . import hg
from . import repo
from . import clearcase
from . import npm
from . import npmsw
from . import az
from . import crate
from . import gcp
from . import gomod

methods.extend([
    local.Local(), wget.Wget(), svn.Svn(), git.Git(), gitsm.GitSM(), gitannex.GitANNEX(), ssh.SSH(), sftp.SFTP(),
    s3.S3(), perforce.Perforce(), hg.Hg(), repo.Repo(), clearcase.ClearCase(), npm.Npm(), npmsw.NpmShrinkWrap(),
    az.Az(), crate.Crate(), gcp.GCP(), gomod.GoMod(), gomod.GoModGit(),
])

# The name it had before its second version.
sys.modules["bb.fetch"] = sys.modules[__name__]
