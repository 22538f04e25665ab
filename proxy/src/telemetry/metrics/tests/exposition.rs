//! A strict reader of the text exposition: whatever it lets pass, Prometheus does too.

use std::collections::{BTreeMap, HashSet};

/// Labels of a sample, sorted.
pub(crate) type Labels = BTreeMap<String, String>;

/// What a scrape said.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Kind of every family, by name.
    pub(crate) kinds: BTreeMap<String, String>,
    /// Value of every sample, by name and labels.
    pub(crate) samples: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    /// Reads a scrape.
    pub(crate) fn parse(text: &str) -> Result<Exposition, String> {
        if !text.is_empty() && !text.ends_with('\n') {
            return Err("the last line does not end".into());
        }
        let mut read = Exposition::default();
        let mut helped = HashSet::new();
        let mut family = String::new();
        for line in text.lines() {
            let fail = |why: &str| Err(format!("{why}: {line}"));
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, meaning) = rest.split_once(' ').ok_or(format!("no meaning: {line}"))?;
                if !is_name(name) || meaning.trim().is_empty() || !helped.insert(name.to_owned()) {
                    return fail("bad or repeated help");
                }
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or(format!("no kind: {line}"))?;
                let known = matches!(kind, "counter" | "gauge" | "histogram");
                if name != family || !known || read.kinds.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return fail("bad or repeated type, or one without its help before it");
                }
            } else {
                let (name, labels, value) = sample(line).ok_or(format!("no sample: {line}"))?;
                let kind = read.kinds.get(&family).map(String::as_str);
                let belongs = match (kind, name.strip_prefix(&family)) {
                    (Some("histogram"), Some(suffix)) => matches!(suffix, "_bucket" | "_sum" | "_count"),
                    (Some(_), Some(suffix)) => suffix.is_empty(),
                    _ => false,
                };
                if !belongs || (kind != Some("gauge") && value.is_sign_negative()) || value.is_nan() {
                    return fail("a sample that does not belong here");
                }
                if read.samples.insert((name, labels), value).is_some() {
                    return fail("a sample twice");
                }
            }
        }
        read.check_histograms()?;
        Ok(read)
    }

    /// Buckets must ascend with their bounds, and the last be the count.
    fn check_histograms(&self) -> Result<(), String> {
        for family in self.kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((_, labels), value) in self.of(&format!("{family}_bucket")) {
                let mut labels = labels.clone();
                let bound = labels.remove("le").ok_or(format!("{family}: a bucket without a bound"))?;
                let bound = bound.parse::<f64>().map_err(|error| format!("{family}: le={bound}: {error}"))?;
                series.entry(labels).or_default().push((bound, *value));
            }
            for (labels, mut buckets) in series {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                let ascend = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
                let count = self.get(&format!("{family}_count"), &labels);
                let sum = self.get(&format!("{family}_sum"), &labels);
                if !ascend
                    || buckets.last().copied() != count.map(|count| (f64::INFINITY, count))
                    || sum.is_none()
                {
                    return Err(format!("{family}: buckets, sum and count do not fit: {labels:?}"));
                }
            }
        }
        Ok(())
    }

    /// Samples with this name.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a (String, Labels), &'a f64)> {
        self.samples.iter().filter(move |((sample, _), _)| sample == name)
    }

    /// The sum of all samples with this name whose labels hold all of these.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |own: &Labels| {
            labels.iter().all(|(label, value)| own.get(*label).is_some_and(|own| own == value))
        };
        self.of(name).filter(|((_, own), _)| fits(own)).map(|(_, value)| value).sum()
    }

    fn get(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.samples.get(&(name.to_owned(), labels.clone())).copied()
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            if !is_name(label) || label.contains(':') || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = after.strip_prefix(',').filter(|next| !next.starts_with('}')).unwrap_or(after);
            if !after.starts_with([',', '}']) {
                return None;
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.strip_prefix(' ')?;
    (is_name(name) && !value.contains(' ')).then_some(())?;
    Some((name.to_owned(), labels, value.parse().ok()?))
}

/// A value up to its closing quote, unescaped, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

#[test]
fn the_reader_is_strict() {
    let head = "# HELP a_total A.\n# TYPE a_total counter\n";
    let read = Exposition::parse(&format!("{head}a_total{{x=\"q\\\"\\\\\\n\"}} 5\n")).unwrap();
    assert_eq!(read.sum("a_total", &[("x", "q\"\\\n")]), 5.0);
    for wrong in [
        "a_total 5\na_total 6\n",
        "a_total -1\n",
        "a_total 5",
        "b_total 5\n",
        "a_total{x=\"1\",x=\"2\"} 5\n",
        "a_total{x=\"1\"y=\"2\"} 5\n",
        "a_total{x=\"1} 5\n",
        "a_total{x=\"\\q\"} 5\n",
        "a_total five\n",
        "a_total_bucket 5\n",
        "# TYPE a_total gauge\n",
    ] {
        assert!(Exposition::parse(&format!("{head}{wrong}")).is_err(), "{wrong}");
    }
    let histogram = |lines: &str| Exposition::parse(&format!("# HELP h H.\n# TYPE h histogram\n{lines}"));
    assert!(histogram("h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n").is_ok());
    for wrong in [
        "h_bucket{le=\"1\"} 4\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n",
        "h_bucket{le=\"1\"} 2\nh_sum 4\nh_count 2\n",
        "h_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 2\n",
        "h_bucket{le=\"+Inf\"} 3\nh_count 3\n",
    ] {
        assert!(histogram(wrong).is_err(), "{wrong}");
    }
}
