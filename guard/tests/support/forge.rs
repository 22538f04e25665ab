//! Forges values of a given shape, the same for the same seed. They look like credentials and open nothing.

/// A small generator of pseudorandom numbers (xorshift64*), so that cases never change.
pub(crate) struct Forge(u64);

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";

fn alphabet(kind: &str) -> Option<String> {
    let (lower, upper, digits) = (LOWER, UPPER, DIGITS);
    Some(match kind {
        "b62" | "b64d" | "dot" | "tilde" | "w" => format!("{digits}{upper}{lower}"),
        "b64u" => format!("{digits}{upper}{lower}-_"),
        "b64" => format!("{digits}{upper}{lower}+/"),
        "hex" | "hexi" => format!("{digits}abcdef"),
        "HEX" => format!("{digits}ABCDEF"),
        "low" | "lowu" => format!("{digits}{lower}"),
        "up" => format!("{digits}{upper}"),
        "b32" => format!("{upper}234567"),
        "b32l" => "023456789acdefghjklmnpqrstuvwxyz".to_owned(),
        "b58" => format!("123456789ABCDEFGHJKLMNPQRSTUVWXYZ{}", LOWER.replace('l', "")),
        "dig" => digits.to_owned(),
        "dig1" => "123456789".to_owned(),
        "az" => lower.to_owned(),
        "AZ" => upper.to_owned(),
        "alpha" => format!("{upper}{lower}"),
        _ => return None,
    })
}

impl Forge {
    /// A generator that depends on `seed` alone.
    pub(crate) fn new(seed: &str) -> Forge {
        // FNV-1a.
        Forge(
            seed.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            }) | 1,
        )
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn draw(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let count = u64::try_from(letters.len()).expect("a small alphabet");
        (0..length).map(|_| letters[usize::try_from(self.next() % count).expect("an index")]).collect()
    }

    /// Replaces every `{kind:length}` of a template; other braces stay.
    pub(crate) fn expand(&mut self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            let tail = &rest[open + 1..];
            let made = tail.find('}').and_then(|close| Some((self.make(&tail[..close])?, close)));
            rest = match made {
                Some((value, close)) => {
                    out.push_str(&value);
                    &tail[close + 1..]
                }
                None => {
                    out.push('{');
                    tail
                }
            };
        }
        out + rest
    }

    fn make(&mut self, what: &str) -> Option<String> {
        let (kind, argument) = what.split_once(':').unwrap_or((what, ""));
        let length = argument.parse().unwrap_or(0);
        if let Some(letters) = alphabet(kind).filter(|_| length > 0) {
            return Some(self.draw(&letters, length));
        }
        let hex = alphabet("hex")?;
        Some(match kind {
            "uuid" => {
                let parts = [8, 4, 4, 4, 12].map(|length| self.draw(&hex, length));
                parts.join("-")
            }
            "pw" => self.password(length, "!#*+?^"),
            "pwurl" => self.password(length, "!*+~"),
            "b64pw" => encode(self.password(length, "!#*+").as_bytes()),
            "b64userinfo" => encode(format!("deploy:{}", self.password(14, "!#*")).as_bytes()),
            "b64snowflake" => {
                encode(format!("7{}", self.draw(DIGITS, 17)).as_bytes()).trim_end_matches('=').to_owned()
            }
            "b64url" => self.draw(&alphabet("b62")?, length),
            "jwthead" => encode(b"{\"alg\":\"HS256\",\"typ\":\"JWT\"}").trim_end_matches('=').to_owned(),
            "jwt" => self.jwt()?,
            "b64jwt" => {
                let jwt = self.jwt()?;
                encode(jwt.as_bytes())
            }
            "b64grafana" => encode(
                format!("{{\"k\":\"{}\",\"n\":\"ops\",\"id\":1}}", self.draw(&alphabet("b62")?, 40))
                    .as_bytes(),
            ),
            "pem" => self.pem(argument)?,
            "b64pem" => encode(self.pem("RSA PRIVATE KEY")?.as_bytes()),
            "b64cert" => encode(self.pem("CERTIFICATE")?.as_bytes()),
            "b64der" => format!("MIIEpAIBAAKCAQEA{}", self.draw(&alphabet("b64")?, 400)),
            "words" => "customer-settings-by-region".to_owned(),
            _ => return None,
        })
    }

    /// Letters of both cases, digits and a sign, as people are told to choose.
    fn password(&mut self, length: usize, signs: &str) -> String {
        let head =
            [self.draw(UPPER, 1), self.draw("2345789", 1), self.draw(signs, 1), self.draw("qxzkvj", 1)]
                .concat();
        let mut body = self.draw("bcdfghjkmnpqrstvwxzBCDFGHJKMNPQRSTVWXZ23456789", length - 4);
        body.insert_str(body.len() / 2, &head);
        body
    }

    fn jwt(&mut self) -> Option<String> {
        let payload =
            encode(format!("{{\"sub\":\"{}\",\"iat\":1700000000}}", self.draw(DIGITS, 10)).as_bytes());
        let head = self.make("jwthead")?;
        Some(format!("{head}.{}.{}", payload.trim_end_matches('='), self.draw(&alphabet("b62")?, 43)))
    }

    fn pem(&mut self, label: &str) -> Option<String> {
        let letters = alphabet("b64")?;
        let lines: Vec<String> = (0..6).map(|_| self.draw(&letters, 64)).collect();
        Some(format!(
            "-----BEGIN {label}-----\n{}\n{}\n-----END {label}-----",
            lines.join("\n"),
            self.draw(&letters, 24)
        ))
    }
}

/// Standard Base64 with padding.
fn encode(bytes: &[u8]) -> String {
    let letters: Vec<char> = format!("{UPPER}{LOWER}{DIGITS}+/").chars().collect();
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0usize, |bits, byte| (bits << 8) | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..4 {
            out.push(if at > chunk.len() { '=' } else { letters[bits >> (18 - 6 * at) & 63] });
        }
    }
    out
}
