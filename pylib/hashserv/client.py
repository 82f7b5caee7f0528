"""Requests to a hash equivalence server. A connection is made when first needed, made again when it
breaks, and never shared with a forked process."""

import json

import _hz_services


class InvokeError(Exception):
    """The server refused a request; its own words."""


class Client:
    def __init__(self, address, username=None, password=None):
        self._client = _hz_services.Client(address, username, password)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
        return False

    def connect(self):
        self._call(self._client.connect)

    def close(self):
        self._client.close()

    disconnect = close

    def _call(self, function, *args):
        try:
            return function(*args)
        except RuntimeError as exc:
            raise InvokeError(str(exc)) from None

    def invoke(self, command, request=None):
        """Any request by name: JSON both ways."""
        return json.loads(self._call(self._client.invoke, command, json.dumps(request)))

    def ping(self):
        return self.invoke("ping", {})

    # -- Hashes

    def get_unihash_batch(self, args):
        """The unihash of each (method, task hash), or None."""
        pairs = list(args)
        return self._call(self._client.get_unihash_batch, [method for method, _ in pairs], [taskhash for _, taskhash in pairs])

    def get_unihash(self, method, taskhash):
        return self.get_unihash_batch([(method, taskhash)])[0]

    def unihash_exists_batch(self, unihashes):
        return self._call(self._client.unihash_exists_batch, list(unihashes))

    def unihash_exists(self, unihash):
        return self.unihash_exists_batch([unihash])[0]

    def report_unihash(self, taskhash, method, outhash, unihash, extra={}):
        return self.invoke("report", {**extra, "taskhash": taskhash, "method": method, "outhash": outhash, "unihash": unihash})

    def report_unihash_equiv(self, taskhash, method, unihash, extra={}):
        return self.invoke("report-equiv", {**extra, "taskhash": taskhash, "method": method, "unihash": unihash})

    def get_taskhash(self, method, taskhash, all_properties=False):
        return self.invoke("get", {"taskhash": taskhash, "method": method, "all": all_properties})

    def get_outhash(self, method, outhash, taskhash, with_unihash=True):
        return self.invoke("get-outhash", {"outhash": outhash, "taskhash": taskhash, "method": method, "with_unihash": with_unihash})

    # -- The database

    def get_stats(self):
        return self.invoke("get-stats")

    def reset_stats(self):
        return self.invoke("reset-stats")

    def backfill_wait(self):
        return self.invoke("backfill-wait")["tasks"]

    def remove(self, where):
        return self.invoke("remove", {"where": where})

    def clean_unused(self, max_age):
        return self.invoke("clean-unused", {"max_age_seconds": max_age})

    def get_db_usage(self):
        return self.invoke("get-db-usage", {})["usage"]

    def get_db_query_columns(self):
        return self.invoke("get-db-query-columns", {})["columns"]

    def gc_status(self):
        return self.invoke("gc-status", {})

    def gc_mark(self, mark, where):
        return self.invoke("gc-mark", {"mark": mark, "where": where})

    def gc_mark_stream(self, mark, rows):
        """Marks what matches each row, a text `COLUMN VALUE COLUMN VALUE …`."""
        conditions = []
        for row in rows:
            words = row.split()
            conditions.append(json.dumps(dict(zip(words[::2], words[1::2]))))
        return {"count": self._call(self._client.gc_mark_stream, mark, conditions)}

    def gc_sweep(self, mark):
        return self.invoke("gc-sweep", {"mark": mark})

    # -- Accounts

    def auth(self, username, token):
        return json.loads(self._call(self._client.auth, username, token))

    def become_user(self, username):
        return json.loads(self._call(self._client.become_user, username))

    def refresh_token(self, username=None):
        return json.loads(self._call(self._client.refresh_token, username))

    def set_user_perms(self, username, permissions):
        return self.invoke("set-user-perms", {"username": username, "permissions": list(permissions)})

    def get_user(self, username=None):
        return self.invoke("get-user", {"username": username} if username else {})

    def get_all_users(self):
        return self.invoke("get-all-users", {})["users"]

    def new_user(self, username, permissions):
        return self.invoke("new-user", {"username": username, "permissions": list(permissions)})

    def delete_user(self, username):
        return self.invoke("delete-user", {"username": username})
