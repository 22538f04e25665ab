//! What was charged to budgets, in the store.

use crate::db::{self, Connection, ValueRef};
use crate::spending::{Charges, CounterName, KEPT_QUARTERS, QUARTER_US, Spent, SpentRow};
use std::sync::Arc;

/// Adds charges to those that are stored. Part of the transaction that stores the records they are about. `writer`
/// is whose they are, where several write.
pub(crate) fn add(connection: &Connection, charges: &Charges, writer: Option<i64>) -> db::Result<()> {
    let (column, place) = if writer.is_some() { (", writer", ", ?8") } else { ("", "") };
    // Sums stop before SQLite would turn them into floats.
    let mut statement = connection.prepare_cached(&format!(
        "INSERT INTO spending (quarter, budget, scope, requests, tokens, cost_nanousd, unpriced{column})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7{place})
         ON CONFLICT (quarter, budget, scope{column}) DO UPDATE SET
            requests = CASE WHEN spending.requests > 9223372036854775807 - excluded.requests THEN 9223372036854775807
                ELSE spending.requests + excluded.requests END,
            tokens = CASE WHEN spending.tokens > 9223372036854775807 - excluded.tokens THEN 9223372036854775807
                ELSE spending.tokens + excluded.tokens END,
            cost_nanousd = CASE WHEN spending.cost_nanousd > 9223372036854775807 - excluded.cost_nanousd THEN 9223372036854775807
                ELSE spending.cost_nanousd + excluded.cost_nanousd END,
            unpriced = CASE WHEN spending.unpriced > 9223372036854775807 - excluded.unpriced THEN 9223372036854775807
                ELSE spending.unpriced + excluded.unpriced END"
    ))?;
    let mut rows = Vec::new();
    for (quarter, counter, spent) in charges.iter() {
        let figure = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        let figures = [spent.requests, spent.tokens, spent.cost_nanousd, spent.unpriced].map(figure);
        let mut row =
            vec![ValueRef::Integer(quarter), ValueRef::Text(&counter.budget), ValueRef::Text(&counter.scope)];
        row.extend(figures.into_iter().chain(writer).map(ValueRef::Integer));
        rows.push(row);
    }
    statement.execute_each(&rows)
}

/// Removes charges that no window reaches back to.
pub(crate) fn sweep(connection: &Connection, now_us: i64) -> db::Result<usize> {
    let oldest = now_us.div_euclid(QUARTER_US).saturating_sub(KEPT_QUARTERS);
    connection.prepare_cached("DELETE FROM spending WHERE quarter < ?1")?.execute([oldest])
}

/// Hands on what was charged since `from_us`, the quarter it falls in included, oldest first: by all who write, or by `writer`.
/// What several were charged for one counter in one quarter comes as several rows.
pub(crate) fn read(
    connection: &Connection,
    from_us: i64,
    writer: Option<i64>,
    take: &mut dyn FnMut(SpentRow),
) -> db::Result<()> {
    let which = if writer.is_some() { "AND writer = ?2" } else { "" };
    let mut statement = connection.prepare(&format!(
        "SELECT quarter, budget, scope, requests, tokens, cost_nanousd, unpriced FROM spending
         WHERE quarter >= ?1 {which} ORDER BY quarter, budget, scope"
    ))?;
    let params: Vec<_> =
        std::iter::once(from_us.div_euclid(QUARTER_US)).chain(writer).map(ValueRef::Integer).collect();
    let mut rows = statement.query(params.as_slice())?;
    while let Some(row) = rows.next()? {
        let figure = |place| row.get::<_, i64>(place).map(|figure| u64::try_from(figure).unwrap_or(0));
        let (budget, scope): (Arc<str>, Arc<str>) = (row.get(1)?, row.get(2)?);
        take(SpentRow {
            counter: CounterName { budget, scope },
            from_us: row.get::<_, i64>(0)?.saturating_mul(QUARTER_US),
            spent: Spent {
                requests: figure(3)?,
                tokens: figure(4)?,
                cost_nanousd: figure(5)?,
                unpriced: figure(6)?,
            },
        });
    }
    Ok(())
}
