//! What was charged to budgets, in the store.

use crate::db::{self, Connection, params};
use crate::spending::{Charges, CounterName, KEPT_QUARTERS, QUARTER_US, Spent, SpentRow};
use std::sync::Arc;

/// Adds charges to those that are stored. Part of the transaction that stores the records they are about.
pub(crate) fn add(connection: &Connection, charges: &Charges) -> db::Result<()> {
    // Sums stop before SQLite would turn them into floats.
    let mut statement = connection.prepare_cached(
        "INSERT INTO spending (quarter, budget, scope, requests, tokens, cost_nanousd, unpriced)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (quarter, budget, scope) DO UPDATE SET
            requests = CASE WHEN spending.requests > 9223372036854775807 - excluded.requests THEN 9223372036854775807
                ELSE spending.requests + excluded.requests END,
            tokens = CASE WHEN spending.tokens > 9223372036854775807 - excluded.tokens THEN 9223372036854775807
                ELSE spending.tokens + excluded.tokens END,
            cost_nanousd = CASE WHEN spending.cost_nanousd > 9223372036854775807 - excluded.cost_nanousd THEN 9223372036854775807
                ELSE spending.cost_nanousd + excluded.cost_nanousd END,
            unpriced = CASE WHEN spending.unpriced > 9223372036854775807 - excluded.unpriced THEN 9223372036854775807
                ELSE spending.unpriced + excluded.unpriced END",
    )?;
    for (quarter, counter, spent) in charges.iter() {
        let figure = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        statement.execute(params![
            quarter,
            counter.budget,
            counter.scope,
            figure(spent.requests),
            figure(spent.tokens),
            figure(spent.cost_nanousd),
            figure(spent.unpriced),
        ])?;
    }
    Ok(())
}

/// Removes charges that no window reaches back to.
pub(crate) fn sweep(connection: &Connection, now_us: i64) -> db::Result<usize> {
    let oldest = now_us.div_euclid(QUARTER_US).saturating_sub(KEPT_QUARTERS);
    connection.prepare_cached("DELETE FROM spending WHERE quarter < ?1")?.execute([oldest])
}

/// Hands on what was charged since `from_us`, the quarter it falls in included, oldest first.
pub(crate) fn read(connection: &Connection, from_us: i64, take: &mut dyn FnMut(SpentRow)) -> db::Result<()> {
    let mut statement = connection.prepare(
        "SELECT quarter, budget, scope, requests, tokens, cost_nanousd, unpriced FROM spending WHERE quarter >= ?1",
    )?;
    let mut rows = statement.query([from_us.div_euclid(QUARTER_US)])?;
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
