//! The table that is written: found or created, and what its columns can take.

use crate::encode::Column;
use crate::error::Error;
use crate::fields::{Fields, Misfit, Scalar, each_field, scalar};
use postgres::Transaction;
use serde::Serialize;

/// What a column takes, as far as writing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Bool,
    Int,
    /// Floats and `numeric`.
    Float,
    Text,
    Bytes,
    /// `timestamptz`, `timestamp` and `date`: text, or integers as milliseconds since 1970 UTC.
    Time,
    Json,
    /// Anything else, as text that the server reads.
    Other,
}

impl Class {
    fn of(base: &str) -> Class {
        match base {
            "bool" => Class::Bool,
            "int2" | "int4" | "int8" => Class::Int,
            "float4" | "float8" | "numeric" => Class::Float,
            "text" | "varchar" | "bpchar" | "name" | "citext" => Class::Text,
            "bytea" => Class::Bytes,
            "timestamptz" | "timestamp" | "date" => Class::Time,
            "json" | "jsonb" => Class::Json,
            _ => Class::Other,
        }
    }
}

/// The column that holds a row's epoch, so that a rewind can delete it.
pub(crate) const EPOCH: &str = "tidemill_epoch";

/// A name as SQL takes it, whatever is in it.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `table` or `schema.table`, each part as it is written.
pub(crate) fn quote_table(name: &str) -> String {
    name.split('.').map(quote).collect::<Vec<_>>().join(".")
}

/// A table in the database.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// As the user calls it, for messages.
    pub name: String,
    /// Schema and name, quoted.
    pub sql: String,
    /// Schema and name: what its mark goes by.
    pub id: String,
    /// The table of marks in the same schema, quoted.
    pub marks: String,
    oid: u32,
    columns: Vec<Found>,
}

#[derive(Clone, Debug)]
struct Found {
    column: Column,
    /// It has no default and must have a value.
    needed: bool,
    /// Only the server gives its value.
    generated: bool,
}

impl Table {
    /// Looks it up.
    pub fn find(tx: &mut Transaction<'_>, name: &str) -> Result<Option<Table>, Error> {
        let found = tx.query_opt(
            "SELECT c.oid, n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = to_regclass($1)",
            &[&quote_table(name)],
        )?;
        let Some(row) = found else { return Ok(None) };
        let (oid, schema, table): (u32, String, String) = (row.get(0), row.get(1), row.get(2));
        let columns = tx.query(
            "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), coalesce(b.typname, t.typname)::text,
                    a.attnotnull AND NOT a.atthasdef AND a.attidentity = '', a.attgenerated <> '' OR a.attidentity = 'a'
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
             LEFT JOIN pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            &[&oid],
        )?;
        let columns = columns.iter().map(|row| Found {
            column: Column { name: row.get(0), sql: row.get(1), class: Class::of(row.get(2)) },
            needed: row.get(3),
            generated: row.get(4),
        });
        Ok(Some(Table {
            name: name.to_owned(),
            sql: format!("{}.{}", quote(&schema), quote(&table)),
            id: format!("{schema}.{table}"),
            marks: format!("{}.tidemill_epochs", quote(&schema)),
            oid,
            columns: columns.collect(),
        }))
    }

    /// Whether there is no row in it.
    pub fn is_empty(&self, tx: &mut Transaction<'_>) -> Result<bool, Error> {
        Ok(tx.query_opt(&format!("SELECT FROM {} LIMIT 1", self.sql), &[])?.is_none())
    }

    /// Refuses a table where `keys` do not name one row, or that lacks the column for epochs where it is needed.
    pub fn check(&self, tx: &mut Transaction<'_>, keys: &[String], epochs: bool) -> Result<(), Error> {
        if epochs && !self.columns.iter().any(|found| found.column.name == EPOCH && found.column.class == Class::Int) {
            return Err(self.unfit(format!(
                "`rewind()` needs the epoch of each row: ALTER TABLE {} ADD COLUMN {EPOCH} bigint",
                self.sql
            )));
        }
        if keys.is_empty() {
            return Ok(());
        }
        for key in keys {
            self.column(key)?;
        }
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        let unique = tx.query_opt(
            "SELECT FROM pg_index i WHERE indrelid = $1 AND indisunique AND indimmediate AND indisvalid
                 AND indpred IS NULL AND indexprs IS NULL AND $2 = (
                     SELECT array_agg(attname::text ORDER BY attname::text COLLATE \"C\") FROM pg_attribute
                     WHERE attrelid = i.indrelid AND attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
             LIMIT 1",
            &[&self.oid, &sorted],
        )?;
        match unique {
            Some(_) => Ok(()),
            None => Err(self.unfit(format!(
                "no unique index says that ({0}) names one row: ALTER TABLE {1} ADD PRIMARY KEY ({0})",
                names(keys),
                self.sql
            ))),
        }
    }

    /// The columns for the fields of `row`, `keys` first, if the table has them all and needs no other.
    pub fn columns_for<T: Serialize>(&self, row: &T, keys: &[String]) -> Result<Vec<Column>, Error> {
        let fields = Field::all(row).map_err(|misfit| Error::misfit(&self.name, &misfit, row))?;
        let has = |name: &String| fields.iter().any(|field| field.name == *name);
        if let Some(key) = keys.iter().find(|key| !has(key)) {
            return Err(self.unfit(format!("the key column `{key}` is no field of the rows")));
        }
        let missing = self.columns.iter().find(|found| found.needed && !has(&found.column.name));
        if let Some(Found { column, .. }) = missing {
            return Err(self.unfit(format!(
                "its column `{}` must have a value, and the rows have no such field: add it, or give the column a default",
                column.name
            )));
        }
        let rest = fields.iter().map(|field| &field.name).filter(|name| !keys.contains(name));
        keys.iter().chain(rest).map(|name| self.column(name).cloned()).collect()
    }

    fn column(&self, name: &str) -> Result<&Column, Error> {
        match self.columns.iter().find(|found| found.column.name == name) {
            Some(found) if found.generated => {
                Err(self.unfit(format!("its column `{name}` is generated, so the rows must not have such a field")))
            }
            Some(found) => Ok(&found.column),
            None => {
                let all: Vec<_> = self.columns.iter().map(|found| found.column.name.clone()).collect();
                Err(self
                    .unfit(format!("it has no column `{name}`, which the rows have; its columns are {}", names(&all))))
            }
        }
    }

    fn unfit(&self, reason: String) -> Error {
        Error::Columns { table: self.name.clone(), reason }
    }
}

/// Quoted names, with commas.
pub(crate) fn names(names: &[String]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

/// A field of an example row, and the type its column gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    name: String,
    sql: Option<&'static str>,
}

impl Field {
    /// The fields of `row`.
    pub fn all<T: Serialize>(row: &T) -> Result<Vec<Field>, Misfit> {
        let mut all = All(Vec::new());
        each_field(row, &mut all)?;
        Ok(all.0)
    }

    /// `CREATE TABLE` for such rows; fields in `times` are milliseconds since 1970.
    pub fn create(
        fields: &[Field],
        table: &str,
        keys: &[String],
        times: &[String],
        epochs: bool,
    ) -> Result<String, Error> {
        let unfit = |reason| Error::Columns { table: table.to_owned(), reason };
        if let Some(name) = times.iter().chain(keys).find(|name| !fields.iter().any(|field| field.name == **name)) {
            return Err(unfit(format!("the example row has no field `{name}`")));
        }
        let mut lines = Vec::new();
        for field in fields {
            let time = times.contains(&field.name).then_some("timestamptz");
            let sql = time.or(field.sql).ok_or_else(|| {
                unfit(format!(
                    "`{}` has no value in the example row, so its type is not known: give it one",
                    field.name
                ))
            })?;
            lines.push(format!("{} {sql}", quote(&field.name)));
        }
        if epochs {
            lines.push(format!("{EPOCH} bigint"));
        }
        if !keys.is_empty() {
            lines.push(format!("PRIMARY KEY ({})", names(keys)));
        }
        Ok(format!("CREATE TABLE {} ({})", quote_table(table), lines.join(", ")))
    }
}

struct All(Vec<Field>);

impl Fields for All {
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Misfit> {
        let mut sql = None;
        scalar(value, |scalar| {
            sql = match scalar {
                Scalar::Null => None,
                Scalar::Bool(_) => Some("boolean"),
                Scalar::Int(_, 16) => Some("smallint"),
                Scalar::Int(_, 32) => Some("integer"),
                Scalar::Int(..) => Some("bigint"),
                Scalar::Big(_) => Some("numeric"),
                Scalar::Single(_) => Some("real"),
                Scalar::Float(_) => Some("double precision"),
                Scalar::Text(_) => Some("text"),
                Scalar::Bytes(_) => Some("bytea"),
                Scalar::Nested => Some("jsonb"),
            };
            Ok(())
        })?;
        self.0.push(Field { name: name.to_owned(), sql });
        Ok(())
    }
}
