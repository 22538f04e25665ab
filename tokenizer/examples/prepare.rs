//! Writes `data/*.bin` from the vocabularies that `tiktoken-rs` carries: `cargo run -p narrows-tokenizer --example prepare`.
//! A test compares every token with that crate's.

use std::fs;
use tiktoken_rs::CoreBPE;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    write("cl100k_base", &tiktoken_rs::cl100k_base()?, 100_256)?;
    write("o200k_base", &tiktoken_rs::o200k_base()?, 199_998)
}

/// The number of tokens (four bytes, little-endian), the length of each (one byte), their bytes; packed by zlib.
fn write(name: &str, vocabulary: &CoreBPE, number: u32) -> Result<(), Box<dyn std::error::Error>> {
    let tokens = (0..number).map(|rank| vocabulary.decode_bytes(&[rank])).collect::<Result<Vec<_>, _>>()?;
    let mut plain = number.to_le_bytes().to_vec();
    for token in &tokens {
        plain.push(u8::try_from(token.len())?);
    }
    plain.extend(tokens.concat());
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&plain, 10);
    fs::write(format!("{}/data/{name}.bin", env!("CARGO_MANIFEST_DIR")), packed)?;
    Ok(())
}
