//! The body of an error that may not be the last word: read whole, within limits, so that its hints are known, that it
//! can be passed on byte for byte after all, and that the connection can be used again.

use crate::upstream::connection::Connection;
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of an error's body that are read before anything is decided.
pub(super) const EARLY_BYTES_MAX: usize = 64 * 1024;
/// Time for them.
const EARLY_TIME_MAX: Duration = Duration::from_secs(2);

/// What was read of a body.
pub(crate) struct Early {
    pub(crate) bytes: Bytes,
    /// Whether that is all of it.
    pub(crate) ended: bool,
}

/// Reads the body of an answer whose head was read, as far as the limits go.
pub(super) async fn read(connection: &mut Connection) -> Early {
    let mut whole = BytesMut::new();
    let all = async {
        while whole.len() < EARLY_BYTES_MAX {
            match connection.read_body().await {
                Ok(Some(part)) => whole.extend_from_slice(&part),
                Ok(None) => return true,
                // Whoever passes it on meets the same fault.
                Err(_fault) => return false,
            }
        }
        connection.is_done()
    };
    let ended = timeout(EARLY_TIME_MAX, all).await.unwrap_or(false);
    Early { bytes: whole.freeze(), ended }
}
