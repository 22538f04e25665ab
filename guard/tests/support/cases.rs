//! The cases of the built-in rules: `+` or `-`, the rule, the form, the template.

use super::forge::Forge;
use std::path::Path;

/// One line of a file of cases.
pub(crate) struct Case {
    /// The rule that is tried.
    pub(crate) rule: String,
    /// Whether it must find something.
    pub(crate) positive: bool,
    /// How the value is written (`env`, `json`, …), with a name after a colon.
    pub(crate) form: String,
    /// The value with random parts.
    pub(crate) template: String,
}

/// All cases of all files.
pub(crate) fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/secrets");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let text = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("a file of cases");
    files
        .iter()
        .map(text)
        .flat_map(|text| text.lines().filter(|line| !line.is_empty()).map(case).collect::<Vec<_>>())
        .collect()
}

fn case(line: &str) -> Case {
    let parts: Vec<&str> = line.splitn(4, ' ').collect();
    let [sign, rule, form, template] = parts[..] else { panic!("four parts: {line}") };
    assert!(matches!(sign, "+" | "-"), "{line}");
    let template = template.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\");
    Case { rule: rule.to_owned(), positive: sign == "+", form: form.to_owned(), template }
}

impl Case {
    /// The text, and what must be found in it.
    pub(crate) fn expand(&self) -> (String, Option<String>) {
        let seed = format!("{} {} {}", self.rule, self.form, self.template);
        let value = Forge::new(&seed).expand(&self.template);
        let (text, secret) = match (value.find("[["), value.rfind("]]")) {
            (Some(start), Some(end)) => {
                let secret = value[start + 2..end].to_owned();
                (format!("{}{secret}{}", &value[..start], &value[end + 2..]), secret)
            }
            _ => (value.clone(), value),
        };
        let (form, name) = self.form.split_once(':').unwrap_or((&self.form, "service"));
        let secret = if form == "pemjson" { secret.replace('\n', "\\n") } else { secret };
        (surround(form, name, &text), self.positive.then_some(secret))
    }
}

/// Writes a value the way a file, a program or a command line does.
fn surround(form: &str, name: &str, value: &str) -> String {
    let upper = name.to_ascii_uppercase().replace(['-', '.', ' '], "_");
    let camel: String = name.split(['_', '-', '.', ' ']).map(capital).collect();
    let dashed = name.replace(['_', '.', ' '], "-");
    match form {
        "bare" => value.to_owned(),
        "env" => format!("# settings\n{upper}_API_KEY={value}\nDEBUG=1\n"),
        "json" => format!("{{\"id\": 7, \"{name}_token\": \"{value}\", \"on\": true}}"),
        "yaml" => format!("service:\n  {name}:\n    api_key: {value}\n    retries: 3\n"),
        "code" => format!("let client = new {camel}Client();\nclient.set{camel}Secret('{value}');\n"),
        "header" => format!("curl https://api.example.com/v1/items -H \"X-{camel}-Api-Key: {value}\" -s"),
        "url" => {
            format!("GET https://api.{dashed}.example.com/v1/items?limit=5&api_key={value}&page=2 HTTP/1.1")
        }
        "flag" => format!("$ tool deploy --{dashed}-token={value} --verbose"),
        "prose" => format!("The {name} api key is {value} for now."),
        "xml" => format!("<config><{camel}ApiKey>{value}</{camel}ApiKey></config>"),
        "pemjson" => format!("{{\"private_key\": \"{}\"}}", value.replace('\n', "\\n")),
        other => panic!("no such form: {other}"),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
