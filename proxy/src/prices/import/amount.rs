//! Prices as sources write them: decimal numbers of any form, read exactly.

use narrows_meter::unit_price::UnitPrice;
use serde_json::Value;

/// A decimal number: `digits` × 10^`exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount {
    digits: u128,
    exponent: i32,
}

/// Most digits of a number that are read.
const DIGITS_MAX: usize = 30;

/// Why a price was not taken.
pub(super) type Fault = &'static str;

impl Amount {
    /// A number, or text with one in it. A JSON number is read as the shortest decimal that stands for it, which is how
    /// the sources wrote it.
    pub(super) fn of(value: &Value) -> Result<Amount, Fault> {
        match value {
            Value::Number(number) => Amount::parse(&number.to_string()),
            Value::String(text) => Amount::parse(text),
            _ => Err("a price that is no number"),
        }
    }

    fn parse(text: &str) -> Result<Amount, Fault> {
        const FAULT: Fault = "a price that is no number";
        let lower = text.trim().to_ascii_lowercase();
        if lower.starts_with('-') {
            return Err("a price below zero, which means that it varies");
        }
        let (number, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty();
        if !is_number || digits.len() > DIGITS_MAX {
            return Err(FAULT);
        }
        let shift = i32::try_from(fraction.len()).map_err(|_long| FAULT)?;
        let exponent: i32 = exponent.parse().map_err(|_word| FAULT)?;
        let exponent = exponent.checked_sub(shift).ok_or(FAULT)?;
        Ok(Amount { digits: digits.parse().map_err(|_long| FAULT)?, exponent })
    }

    /// The amount times 10^`places`.
    pub(super) fn shifted(self, places: i32) -> Amount {
        Amount { exponent: self.exponent.saturating_add(places), ..self }
    }

    /// As a price in a file of ours, and whether it had to be rounded: to the nearest, a half upwards.
    pub(super) fn price<const DECIMALS: u32>(self) -> Result<(UnitPrice<DECIMALS>, bool), Fault> {
        const LARGE: Fault = "a price that is too large";
        if self.digits == 0 {
            return UnitPrice::from_pico_usd(0).map(|price| (price, false)).ok_or(LARGE);
        }
        let shift = self.exponent.saturating_add(i32::try_from(DECIMALS).unwrap_or(i32::MAX));
        let (amount, rounded) = match u32::try_from(shift) {
            Ok(up) => (10_u128.checked_pow(up).and_then(|scale| scale.checked_mul(self.digits)), false),
            Err(_) => match 10_u128.checked_pow(shift.unsigned_abs()) {
                Some(scale) => (Some((self.digits + scale / 2) / scale), !self.digits.is_multiple_of(scale)),
                None => (Some(0), true),
            },
        };
        let amount = amount.and_then(|amount| u64::try_from(amount).ok()).ok_or(LARGE)?;
        UnitPrice::from_pico_usd(amount).map(|price| (price, rounded)).ok_or(LARGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_meter::PerToken;

    fn million(text: &str, places: i32) -> (String, bool) {
        let (price, rounded): (PerToken, bool) =
            Amount::parse(text).unwrap().shifted(places).price().unwrap();
        (price.to_string(), rounded)
    }

    #[test]
    fn numbers_of_every_form_are_exact() {
        let exact = |text: &str| (text.to_owned(), false);
        assert_eq!(million("0.15", 0), exact("0.15"));
        assert_eq!(million("1.5e-07", 6), exact("0.15"));
        assert_eq!(million("0.00000015", 6), exact("0.15"));
        assert_eq!(million("3E-6", 6), exact("3"));
        assert_eq!(million("0", 6), exact("0"));
        assert_eq!(million("2.5e+1", 0), exact("25"));
        let json: Value = serde_json::from_str("[1.5e-07, 0.1, 3]").unwrap();
        let read: Vec<_> = json.as_array().unwrap().iter().map(|value| Amount::of(value).unwrap()).collect();
        assert_eq!(read[0].shifted(6).price::<6>().unwrap().0.to_string(), "0.15");
        assert_eq!(read[1].price::<6>().unwrap().0.to_string(), "0.1");
        assert_eq!(read[2].price::<6>().unwrap().0.to_string(), "3");
    }

    #[test]
    fn what_is_finer_is_rounded_and_said_so() {
        assert_eq!(million("0.08333333333333334", 0), ("0.083333".to_owned(), true));
        assert_eq!(million("0.0000005", 0), ("0.000001".to_owned(), true));
        assert_eq!(million("1e-60", 0), ("0".to_owned(), true));
    }

    #[test]
    fn what_is_no_price_is_not_taken() {
        for wrong in ["", "-1", "abc", "1e", "1e99999999999", ".", "--1", &"9".repeat(31)] {
            assert!(Amount::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Amount::parse("1e30").unwrap().price::<6>().is_err());
        assert!(Amount::of(&Value::Null).is_err());
    }
}
