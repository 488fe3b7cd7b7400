//! Marks: how far a table has been written, kept beside it and changed in the same transaction as its rows.

use crate::error::Error;
use crate::table::Table;
use postgres::Transaction;
use postgres::types::Type;
use serde::{Deserialize, Serialize};
use tidemill::{Epoch, Start};

/// Through which epoch of which lineage a table is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Empty where a collection's table is yet to be made equal to its rows.
    pub lineage: String,
    /// 0 where nothing was written yet.
    pub epoch: Epoch,
}

/// How a table stands to where a job begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Nothing was written.
    Fresh,
    /// It has what the job has committed, and nothing that is not formed again as it was.
    Even,
    /// It has also epochs up to this one that are formed otherwise.
    Ahead(Epoch),
    /// It has rows of a run that this one does not continue, and the job has none in it.
    Foreign,
    /// It lacks what the job has committed.
    Lost(Epoch),
}

impl Stand {
    /// Compares what the table says with where the job begins and with what the table said then.
    pub fn of(start: &Start, saved: Option<&Mark>, mark: Option<&Mark>) -> Stand {
        let wants = saved.map_or(0, |saved| saved.epoch);
        let Some(mark) = mark.filter(|mark| mark.epoch > 0) else {
            return if wants > 0 { Stand::Lost(wants) } else { Stand::Fresh };
        };
        let ours = mark.lineage == start.lineage || saved.is_some_and(|saved| saved.lineage == mark.lineage);
        match ours {
            false if wants > 0 => Stand::Lost(wants),
            false => Stand::Foreign,
            true if mark.epoch < wants => Stand::Lost(wants),
            true if mark.epoch <= start.epoch || mark.epoch <= start.exact_through && mark.lineage == start.lineage => {
                Stand::Even
            }
            true => Stand::Ahead(mark.epoch),
        }
    }
}

/// Makes the table of marks beside `table`, if it is not there.
pub(crate) fn create(tx: &mut Transaction<'_>, table: &Table) -> Result<(), Error> {
    let marks = &table.marks;
    if tx.query_one("SELECT to_regclass($1) IS NULL", &[marks])?.get(0) {
        tx.batch_execute(&format!(
            "CREATE TABLE {marks} (
                 sink text PRIMARY KEY, lineage text NOT NULL, epoch bigint NOT NULL, writer text NOT NULL);
             COMMENT ON TABLE {marks} IS 'Through which epoch Tidemill has written each table; changed with its rows.'"
        ))?;
    }
    Ok(())
}

/// The mark of `table`, which nobody else changes until the transaction ends.
pub(crate) fn lock(tx: &mut Transaction<'_>, table: &Table) -> Result<Option<(Mark, String)>, Error> {
    let sql = format!("SELECT lineage, epoch, writer FROM {} WHERE sink = $1 FOR UPDATE", table.marks);
    // With the types given, a statement is one message and one answer.
    let rows = tx.query_typed(&sql, &[(&table.id, Type::TEXT)])?;
    Ok(rows.first().map(|row| {
        let mark = Mark { lineage: row.get(0), epoch: row.get::<_, i64>(1).cast_unsigned() };
        (mark, row.get(2))
    }))
}

/// Sets the mark of `table`. Whoever is not `writer` can no longer write to it.
pub(crate) fn set(tx: &mut Transaction<'_>, table: &Table, mark: &Mark, writer: &str) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO {} (sink, lineage, epoch, writer) VALUES ($1, $2, $3, $4)
         ON CONFLICT (sink) DO UPDATE SET lineage = excluded.lineage, epoch = excluded.epoch, writer = excluded.writer",
        table.marks
    );
    let epoch = mark.epoch.cast_signed();
    tx.query_typed(
        &sql,
        &[(&table.id, Type::TEXT), (&mark.lineage, Type::TEXT), (&epoch, Type::INT8), (&writer, Type::TEXT)],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stands_to_a_job_in_one_of_five_ways() {
        let mark = |lineage: &str, epoch| Some(Mark { lineage: lineage.into(), epoch });
        let stand = |lineage: &str, epoch, exact: bool, saved: Option<Mark>, mark: Option<Mark>| {
            let exact_through = if exact { 8 } else { epoch };
            let start = Start { lineage: lineage.into(), checkpoints: true, epoch, exact_through, saved: None };
            Stand::of(&start, saved.as_ref(), mark.as_ref())
        };
        // A first run, on a table that is new, or that an earlier one opened and wrote nothing to.
        assert_eq!(stand("a", 0, true, None, None), Stand::Fresh);
        assert_eq!(stand("b", 0, true, None, mark("a", 0)), Stand::Fresh);
        assert_eq!(stand("b", 0, true, None, mark("a", 3)), Stand::Foreign);
        // A sink that is new in a job that goes on.
        assert_eq!(stand("a", 7, false, None, None), Stand::Fresh);
        // A restart at epoch 5: the table is where it was, or further.
        for exact in [true, false] {
            assert_eq!(stand("a", 5, exact, mark("a", 4), mark("a", 4)), Stand::Even);
            assert_eq!(stand("a", 5, exact, mark("a", 4), mark("a", 5)), Stand::Even);
        }
        assert_eq!(stand("a", 5, true, mark("a", 4), mark("a", 8)), Stand::Even);
        assert_eq!(stand("a", 5, true, mark("a", 4), mark("a", 9)), Stand::Ahead(9));
        assert_eq!(stand("a", 5, false, mark("a", 4), mark("a", 8)), Stand::Ahead(8));
        // A new lineage from the old one's checkpoint.
        assert_eq!(stand("b", 5, false, mark("a", 4), mark("a", 4)), Stand::Even);
        assert_eq!(stand("b", 5, true, mark("a", 4), mark("a", 8)), Stand::Ahead(8));
        // The database went back, or is another one.
        assert_eq!(stand("a", 5, true, mark("a", 4), mark("a", 3)), Stand::Lost(4));
        assert_eq!(stand("a", 5, true, mark("a", 4), None), Stand::Lost(4));
        assert_eq!(stand("a", 5, true, mark("a", 4), mark("c", 9)), Stand::Lost(4));
    }
}
