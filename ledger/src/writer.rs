//! interim
use crate::error::LedgerError;
use crate::options::LedgerOptions;
use crate::queue::{Message, Queue};
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
pub(crate) struct Writer {
    r: Option<(Connection, Receiver<Message>)>,
}
impl Writer {
    pub(crate) fn new(
        c: Connection,
        r: Receiver<Message>,
        _o: &LedgerOptions,
    ) -> Result<Writer, LedgerError> {
        Ok(Writer { r: Some((c, r)) })
    }
    pub(crate) fn start(&mut self, _q: &Arc<Queue>) -> Result<(), LedgerError> {
        Ok(())
    }
    pub(crate) fn flush(&self, _q: &Queue, _p: Duration) -> Result<(), LedgerError> {
        Ok(())
    }
    pub(crate) fn close(&mut self, _q: &Queue, _p: Duration) -> Result<(), LedgerError> {
        Ok(())
    }
}
