//! The `date` header (RFC 9110 §6.6.1), formatted once a second by each thread.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Calls `with` with the current date.
pub(crate) fn with_now<T>(with: impl FnOnce(&str) -> T) -> T {
    thread_local! {
        static NOW: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    NOW.with_borrow_mut(|(known, text)| {
        if *known != second || text.is_empty() {
            (*known, *text) = (second, format(second));
        }
        with(text)
    })
}

fn format(second: u64) -> String {
    let stamp = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    stamp.unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_date_is_an_imf_fixdate() {
        assert_eq!(super::format(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        super::with_now(|now| assert_eq!(now.len(), 29));
    }
}
