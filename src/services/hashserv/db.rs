//! `hashserv.db`: the tables the reference keeps, read and written as it does.

use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, OptionalExtension, Result, Row, ToSql, params};
use serde_json::{Map, Value};
use std::path::Path;

/// Whether a commit waits for the disk. A server started by a build does not (`Off`): what a crash
/// loses is only found out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    Normal,
    Off,
}

/// Columns a client may name in a condition, with those of dates left out.
const UNIHASH_COLUMNS: [&str; 4] = ["method", "taskhash", "unihash", "gc_mark"];
const OUTHASH_COLUMNS: [&str; 10] =
    ["method", "taskhash", "outhash", "created", "owner", "PN", "PV", "PR", "task", "outhash_siginfo"];

/// An account; `permissions` are words such as `@read`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub username: String,
    pub permissions: Vec<String>,
}

/// An open database.
pub struct Database {
    db: Connection,
}

fn table(name: &str, columns: &[(&str, &str)], unique: &[&str]) -> String {
    let columns: Vec<String> = columns.iter().map(|(n, t)| format!("{n} {t}")).collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (id INTEGER PRIMARY KEY AUTOINCREMENT, {}, UNIQUE({}))",
        columns.join(", "),
        unique.join(", ")
    )
}

const NEEDED: &str = "TEXT NOT NULL";

impl Database {
    /// Opens `path`, making it or bringing an older version's tables up to date.
    pub fn open(path: &Path, sync: Sync) -> Result<Database> {
        let db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", if sync == Sync::Normal { "NORMAL" } else { "OFF" })?;
        db.execute_batch(&table(
            "unihashes_v3",
            &[("method", NEEDED), ("taskhash", NEEDED), ("unihash", NEEDED), ("gc_mark", NEEDED)],
            &["method", "taskhash"],
        ))?;
        let outhash: Vec<(&str, &str)> = OUTHASH_COLUMNS
            .iter()
            .enumerate()
            .map(|(i, c)| (*c, if i < 3 { NEEDED } else if *c == "created" { "DATETIME" } else { "TEXT" }))
            .collect();
        db.execute_batch(&table("outhashes_v2", &outhash, &["method", "taskhash", "outhash"]))?;
        db.execute_batch(&table("users", &[("username", NEEDED), ("token", NEEDED), ("permissions", NEEDED)], &["username"]))?;
        db.execute_batch(&table("config", &[("name", NEEDED), ("value", "TEXT")], &["name"]))?;
        for index in ["taskhash_lookup", "outhash_lookup", "taskhash_lookup_v2", "outhash_lookup_v2", "taskhash_lookup_v3"] {
            db.execute_batch(&format!("DROP INDEX IF EXISTS {index}"))?;
        }
        db.execute_batch(
            "DROP TABLE IF EXISTS tasks_v2;
             CREATE INDEX IF NOT EXISTS taskhash_lookup_v4 ON unihashes_v3 (method, taskhash);
             CREATE INDEX IF NOT EXISTS unihash_lookup_v1 ON unihashes_v3 (unihash);
             CREATE INDEX IF NOT EXISTS outhash_lookup_v3 ON outhashes_v2 (method, outhash);
             CREATE INDEX IF NOT EXISTS config_lookup ON config (name);",
        )?;
        if table_exists(&db, "unihashes_v2")? {
            db.execute_batch(
                "BEGIN;
                 INSERT OR IGNORE INTO unihashes_v3 (id, method, taskhash, unihash, gc_mark)
                     SELECT id, method, taskhash, unihash, '' FROM unihashes_v2;
                 DROP TABLE unihashes_v2;
                 COMMIT;",
            )?;
        }
        Ok(Database { db })
    }

    /// The row for a task hash: `method`, `taskhash`, `unihash`.
    pub fn equivalent(&self, method: &str, taskhash: &str) -> Result<Option<Value>> {
        self.one(
            "SELECT taskhash, method, unihash FROM unihashes_v3 WHERE method=?1 AND taskhash=?2",
            &[&method, &taskhash],
        )
    }

    /// Only the unihash of a task hash: the query that a build asks thousands of times.
    pub fn unihash(&self, method: &str, taskhash: &str) -> Result<Option<String>> {
        self.db
            .prepare_cached("SELECT unihash FROM unihashes_v3 WHERE method=?1 AND taskhash=?2")?
            .query_row([method, taskhash], |r| r.get(0))
            .optional()
    }

    /// All that is known of a task hash, the oldest output first.
    pub fn full_by_taskhash(&self, method: &str, taskhash: &str) -> Result<Option<Value>> {
        self.one(&joined("o.taskhash=?2"), &[&method, &taskhash])
    }

    /// The oldest task that gave this output, with its unihash.
    pub fn full_by_outhash(&self, method: &str, outhash: &str) -> Result<Option<Value>> {
        self.one(&joined("o.outhash=?2"), &[&method, &outhash])
    }

    /// As [`Database::full_by_outhash`], whether the task has a unihash or not.
    pub fn outhash(&self, method: &str, outhash: &str) -> Result<Option<Value>> {
        self.one(
            "SELECT * FROM outhashes_v2 WHERE method=?1 AND outhash=?2 ORDER BY created ASC LIMIT 1",
            &[&method, &outhash],
        )
    }

    /// The unihash of the oldest other task with this output.
    pub fn unihash_for_outhash(&self, method: &str, outhash: &str, other_than: &str) -> Result<Option<String>> {
        self.db
            .prepare_cached(
                "SELECT u.unihash FROM outhashes_v2 AS o
                 INNER JOIN unihashes_v3 AS u ON u.method=o.method AND u.taskhash=o.taskhash
                 WHERE o.method=?1 AND o.outhash=?2 AND o.taskhash!=?3 ORDER BY o.created ASC LIMIT 1",
            )?
            .query_row([method, outhash, other_than], |r| r.get(0))
            .optional()
    }

    pub fn unihash_exists(&self, unihash: &str) -> Result<bool> {
        self.db.prepare_cached("SELECT 1 FROM unihashes_v3 WHERE unihash=?1 LIMIT 1")?.exists([unihash])
    }

    /// Notes that `taskhash` has `unihash`, unless it already has one.
    pub fn insert_unihash(&self, method: &str, taskhash: &str, unihash: &str) -> Result<()> {
        self.db
            .prepare_cached(
                "INSERT OR IGNORE INTO unihashes_v3 (method, taskhash, unihash, gc_mark)
                 VALUES (?1, ?2, ?3, COALESCE((SELECT value FROM config WHERE name='gc-mark'), ''))",
            )?
            .execute([method, taskhash, unihash])?;
        Ok(())
    }

    /// Notes an output hash; keys of `data` that are no columns are left out.
    pub fn insert_outhash(&self, data: &Map<String, Value>) -> Result<()> {
        let columns: Vec<&str> = OUTHASH_COLUMNS.into_iter().filter(|c| data.contains_key(*c)).collect();
        let marks: Vec<String> = (1..=columns.len()).map(|i| format!("?{i}")).collect();
        let values: Vec<Sql> = columns.iter().map(|c| to_sql(&data[*c])).collect();
        self.db
            .prepare_cached(&format!("INSERT OR IGNORE INTO outhashes_v2 ({}) VALUES ({})", columns.join(", "), marks.join(", ")))?
            .execute(rusqlite::params_from_iter(values))?;
        Ok(())
    }

    /// Removes what matches all of `condition` from each table that has one of its columns.
    pub fn remove(&self, condition: &Map<String, Value>) -> Result<usize> {
        let mut count = 0;
        for (name, columns) in [("outhashes_v2", &OUTHASH_COLUMNS[..]), ("unihashes_v3", &UNIHASH_COLUMNS[..])] {
            let (clause, values) = condition_of(columns, condition);
            if !values.is_empty() {
                count += self.db.execute(&format!("DELETE FROM {name} WHERE {clause}"), rusqlite::params_from_iter(values))?;
            }
        }
        Ok(count)
    }

    pub fn gc_current_mark(&self) -> Result<Option<String>> {
        let value: Option<Option<String>> =
            self.db.query_row("SELECT value FROM config WHERE name='gc-mark'", [], |r| r.get(0)).optional()?;
        Ok(value.flatten())
    }

    fn set_config(&self, name: &str, value: Option<&str>) -> Result<()> {
        self.db.execute(
            "INSERT OR REPLACE INTO config (id, name, value) VALUES ((SELECT id FROM config WHERE name=?1), ?1, ?2)",
            params![name, value],
        )?;
        Ok(())
    }

    /// Rows to keep, rows to remove, and the mark in use.
    pub fn gc_status(&self) -> Result<(i64, i64, Option<String>)> {
        let count = |op: &str| {
            let sql = format!(
                "SELECT COUNT() FROM unihashes_v3 WHERE gc_mark{op}COALESCE((SELECT value FROM config WHERE name='gc-mark'), '')"
            );
            self.db.query_row(&sql, [], |r| r.get(0))
        };
        Ok((count("=")?, count("!=")?, self.gc_current_mark()?))
    }

    /// Begins or goes on with a collection: rows matching `condition` are kept. Count of those rows.
    pub fn gc_mark(&self, mark: &str, condition: &Map<String, Value>) -> Result<usize> {
        self.set_config("gc-mark", Some(mark))?;
        let (clause, mut values) = condition_of(&UNIHASH_COLUMNS, condition);
        if values.is_empty() {
            return Ok(0);
        }
        let last = values.len() + 1;
        values.push(Sql::Text(mark.to_string()));
        self.db.execute(&format!("UPDATE unihashes_v3 SET gc_mark=?{last} WHERE {clause}"), rusqlite::params_from_iter(values))
    }

    /// Removes every row without the current mark and ends the collection.
    pub fn gc_sweep(&self) -> Result<usize> {
        let count = self
            .db
            .execute("DELETE FROM unihashes_v3 WHERE gc_mark!=(SELECT value FROM config WHERE name='gc-mark')", [])?;
        self.set_config("gc-mark", None)?;
        Ok(count)
    }

    /// Removes outputs noted before `oldest` (as [`timestamp`] writes it) that no unihash belongs to.
    pub fn clean_unused(&self, oldest: &str) -> Result<usize> {
        self.db.execute(
            "DELETE FROM outhashes_v2 WHERE created<?1 AND NOT EXISTS (SELECT 1 FROM unihashes_v3
             WHERE unihashes_v3.method=outhashes_v2.method AND unihashes_v3.taskhash=outhashes_v2.taskhash)",
            [oldest],
        )
    }

    /// Table name -> number of rows.
    pub fn usage(&self) -> Result<Vec<(String, i64)>> {
        let mut query = self.db.prepare("SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%'")?;
        let names: Vec<String> = query.query_map([], |r| r.get(0))?.collect::<Result<_>>()?;
        names
            .into_iter()
            .map(|name| {
                let rows = self.db.query_row(&format!("SELECT COUNT() FROM \"{}\"", name.replace('"', "\"\"")), [], |r| r.get(0))?;
                Ok((name, rows))
            })
            .collect()
    }

    /// Names usable in conditions.
    pub fn query_columns() -> Vec<&'static str> {
        let mut names: Vec<&str> = UNIHASH_COLUMNS.to_vec();
        names.extend(OUTHASH_COLUMNS.iter().filter(|c| **c != "created" && !UNIHASH_COLUMNS.contains(c)));
        names
    }

    // -- users

    /// The user and the stored token hash.
    pub fn user(&self, username: &str) -> Result<Option<(User, String)>> {
        self.db
            .query_row("SELECT username, permissions, token FROM users WHERE username=?1", [username], |r| Ok((user(r)?, r.get(2)?)))
            .optional()
    }

    pub fn users(&self) -> Result<Vec<User>> {
        self.db.prepare("SELECT username, permissions FROM users")?.query_map([], user)?.collect()
    }

    /// False: there is such a user already.
    pub fn new_user(&self, username: &str, permissions: &[String], token: &str) -> Result<bool> {
        let done = self.db.execute(
            "INSERT INTO users (username, token, permissions) VALUES (?1, ?2, ?3)",
            params![username, token, permissions.join(" ")],
        );
        match done {
            Err(rusqlite::Error::SqliteFailure(e, _)) if e.code == rusqlite::ErrorCode::ConstraintViolation => Ok(false),
            other => other.map(|n| n != 0),
        }
    }

    pub fn set_user_token(&self, username: &str, token: &str) -> Result<bool> {
        Ok(self.db.execute("UPDATE users SET token=?2 WHERE username=?1", [username, token])? != 0)
    }

    pub fn set_user_permissions(&self, username: &str, permissions: &[String]) -> Result<bool> {
        Ok(self.db.execute("UPDATE users SET permissions=?2 WHERE username=?1", params![username, permissions.join(" ")])? != 0)
    }

    pub fn delete_user(&self, username: &str) -> Result<bool> {
        Ok(self.db.execute("DELETE FROM users WHERE username=?1", [username])? != 0)
    }

    fn one(&self, sql: &str, params: &[&dyn ToSql]) -> Result<Option<Value>> {
        self.db.prepare_cached(sql)?.query_row(params, |r| Ok(to_json(r))).optional()
    }
}

/// Now, as the reference stores times: UTC with an offset. `minus`: seconds before now.
pub fn timestamp(minus: f64) -> String {
    let now = jiff::Timestamp::now().as_microsecond();
    let then = jiff::Timestamp::from_microsecond(now - (minus * 1e6) as i64).unwrap_or(jiff::Timestamp::MIN);
    let fraction = if then.as_microsecond() % 1_000_000 == 0 { "" } else { "%.6f" };
    then.strftime(&format!("%Y-%m-%dT%H:%M:%S{fraction}+00:00")).to_string()
}

fn joined(condition: &str) -> String {
    let columns: Vec<String> = OUTHASH_COLUMNS.iter().map(|c| format!("o.{c}")).collect();
    format!(
        "SELECT o.id, {}, u.unihash, u.gc_mark FROM outhashes_v2 AS o
         INNER JOIN unihashes_v3 AS u ON u.method=o.method AND u.taskhash=o.taskhash
         WHERE o.method=?1 AND {condition} ORDER BY o.created ASC LIMIT 1",
        columns.join(", ")
    )
}

fn table_exists(db: &Connection, name: &str) -> Result<bool> {
    db.prepare("SELECT 1 FROM sqlite_schema WHERE type='table' AND name=?1")?.exists([name])
}

fn user(row: &Row<'_>) -> Result<User> {
    let permissions: String = row.get(1)?;
    Ok(User { username: row.get(0)?, permissions: permissions.split_whitespace().map(String::from).collect() })
}

fn to_json(row: &Row<'_>) -> Value {
    let mut out = Map::new();
    for (i, name) in row.as_ref().column_names().into_iter().enumerate() {
        let value = match row.get_ref(i) {
            Ok(ValueRef::Integer(n)) => Value::from(n),
            Ok(ValueRef::Real(x)) => Value::from(x),
            Ok(ValueRef::Text(t) | ValueRef::Blob(t)) => Value::from(String::from_utf8_lossy(t)),
            Ok(ValueRef::Null) | Err(_) => Value::Null,
        };
        out.insert(name.to_string(), value);
    }
    Value::Object(out)
}

fn to_sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(b) => Sql::Integer(*b as i64),
        Value::Number(n) => n.as_i64().map(Sql::Integer).unwrap_or_else(|| Sql::Real(n.as_f64().unwrap_or(0.0))),
        Value::String(s) => Sql::Text(s.clone()),
        other => Sql::Text(other.to_string()),
    }
}

/// `a=?1 AND b=?2` for the columns that `condition` gives a value for.
fn condition_of(columns: &[&str], condition: &Map<String, Value>) -> (String, Vec<Sql>) {
    let mut clause = Vec::new();
    let mut values = Vec::new();
    for column in columns {
        if let Some(value) = condition.get(*column).filter(|v| !v.is_null()) {
            values.push(to_sql(value));
            clause.push(format!("{column}=?{}", values.len()));
        }
    }
    (clause.join(" AND "), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn hashes_come_back_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&dir.path().join("hashserv.db"), Sync::Off).unwrap();
        for (task, created) in [("t2", "2026-01-02"), ("t1", "2026-01-01")] {
            db.insert_outhash(&object(&format!(
                r#"{{"method":"m","taskhash":"{task}","outhash":"o","created":"{created}","unknown":1}}"#
            )))
            .unwrap();
            db.insert_unihash("m", task, &format!("u-{task}")).unwrap();
        }
        db.insert_unihash("m", "t1", "ignored").unwrap();
        assert_eq!(db.unihash("m", "t1").unwrap().as_deref(), Some("u-t1"));
        assert_eq!(db.unihash_for_outhash("m", "o", "t2").unwrap().as_deref(), Some("u-t1"));
        let full = db.full_by_outhash("m", "o").unwrap().unwrap();
        assert_eq!((&full["taskhash"], &full["unihash"], &full["PN"]), (&"t1".into(), &"u-t1".into(), &Value::Null));
        assert!(db.unihash_exists("u-t2").unwrap() && !db.unihash_exists("x").unwrap());
        assert_eq!(db.remove(&object(r#"{"taskhash":"t1"}"#)).unwrap(), 2);
        assert_eq!(db.remove(&object(r#"{"nothing":"t1"}"#)).unwrap(), 0);
        assert_eq!(db.unihash("m", "t1").unwrap(), None);
    }

    #[test]
    fn collection_keeps_marked_and_new_rows() {
        let db = Database::open(Path::new(":memory:"), Sync::Off).unwrap();
        for t in ["a", "b"] {
            db.insert_unihash("m", t, t).unwrap();
        }
        assert_eq!(db.gc_mark("M", &object(r#"{"taskhash":"a"}"#)).unwrap(), 1);
        db.insert_unihash("m", "c", "c").unwrap();
        assert_eq!(db.gc_status().unwrap(), (2, 1, Some("M".into())));
        assert_eq!(db.gc_sweep().unwrap(), 1);
        assert_eq!(db.gc_current_mark().unwrap(), None);
        assert_eq!(db.unihash("m", "b").unwrap(), None);
    }

    #[test]
    fn an_old_table_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hashserv.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch(
                "CREATE TABLE unihashes_v2 (id INTEGER PRIMARY KEY, method TEXT, taskhash TEXT, unihash TEXT);
                 INSERT INTO unihashes_v2 VALUES (7, 'm', 't', 'u')",
            )
            .unwrap();
        let db = Database::open(&path, Sync::Normal).unwrap();
        assert_eq!(db.unihash("m", "t").unwrap().as_deref(), Some("u"));
        assert!(!db.usage().unwrap().iter().any(|(n, _)| n == "unihashes_v2"));
    }

    #[test]
    fn times_look_like_the_reference_writes_them() {
        let t = timestamp(0.0);
        assert!(t.ends_with("+00:00") && (t.len() == 32 || t.len() == 25), "{t}");
        assert!(timestamp(60.0) < t);
    }
}
