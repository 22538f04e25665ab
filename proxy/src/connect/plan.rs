//! Settings files: what will stand in them is worked out for all of a client's files first, then they are written,
//! each whole or not at all.

use super::edit::{self, EditError, Format};
use super::probe::{Found, read_back};
use super::{CLIENTS, Client, File, Home, OURS, Setting, Value, Values};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of a settings file. Clients keep histories elsewhere.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What the name of the copy of a file as it was before ends with.
pub(crate) const BACKUP: &str = ".narrows-backup";

/// Why a client's settings cannot be changed. Nothing has been changed then, unless a write failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// The file cannot be read or written.
    #[error("cannot {verb} {path}: {error}")]
    Io {
        /// What was to be done.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not one that can be changed in place.
    #[error("{path} is left as it is: {error}; put the printed settings into it yourself")]
    Edit {
        /// The file.
        path: PathBuf,
        /// Why.
        error: EditError,
    },
    /// The file is too large to be settings.
    #[error("{path} is left as it is: it has more than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was made.
    Made,
    /// It was changed; how it was before is in the backup.
    Changed,
    /// It says already what it has to say, or had nothing of ours.
    Unchanged,
    /// It is as it was before.
    Restored,
    /// It held nothing else and was deleted.
    Deleted,
}

/// What will be done to one file.
#[derive(Debug)]
struct Plan {
    path: PathBuf,
    before: Option<String>,
    after: Option<String>,
    /// Whether it holds a key, so that only its owner may read it.
    private: bool,
    backup: Backup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backup {
    /// The one that is there, or none, stays.
    Keep,
    /// The file as it is becomes the backup.
    Make,
    /// It has done its work.
    Drop,
}

/// What will be done to a client's files.
#[derive(Debug)]
pub(crate) struct Plans(Vec<Plan>);

impl Plans {
    /// Points the client at a gateway.
    pub(crate) fn write(client: &Client, values: &Values, home: &Home) -> Result<Plans, PlanError> {
        let plan = |file: &File| {
            let path = resolve(home.path(file))?;
            let before = read(&path)?;
            let text = before.as_deref().unwrap_or_default();
            let fault = |error| PlanError::Edit { path: path.clone(), error };
            let ours = all_of(file)
                .try_fold(false, |found, file| Ok(found || is_ours(file, text)?))
                .map_err(fault)?;
            if file.strict {
                edit::strict(text).map_err(fault)?;
            }
            let saved = read(&backup_of(&path))?;
            let after = put(client, file, text, saved.as_deref(), values).map_err(fault)?;
            let changes = before.as_deref() != Some(after.as_str());
            let backup = match (before.is_some() && changes, ours, saved.is_some()) {
                (true, false, _) | (true, true, false) => Backup::Make,
                (false, false, true) if before.is_none() => Backup::Drop,
                _ => Backup::Keep,
            };
            Ok(Plan { before, after: Some(after), private: holds_key(file), backup, path })
        };
        client.setup.files.iter().map(plan).collect::<Result<_, _>>().map(Plans)
    }

    /// What stands in the client's files now.
    pub(crate) fn found(client: &Client, home: &Home) -> Result<Found, PlanError> {
        let mut found = Found::default();
        for file in client.setup.files {
            if let Some(text) = read(&home.path(file))? {
                read_back(client, file, &text, &mut found);
            }
        }
        Ok(found)
    }

    /// Takes everything of ours out of the client's files again.
    pub(crate) fn remove(client: &Client, home: &Home) -> Result<Plans, PlanError> {
        let plan = |file: &File| {
            let path = resolve(home.path(file))?;
            let before = read(&path)?;
            let text = before.as_deref().unwrap_or_default();
            let fault = |error| PlanError::Edit { path: path.clone(), error };
            let saved = read(&backup_of(&path))?;
            if !is_ours(file, text).map_err(fault)? {
                return Ok(Plan {
                    after: before.clone(),
                    before,
                    private: false,
                    backup: Backup::Keep,
                    path,
                });
            }
            let saved = saved.filter(|saved| !matches!(is_ours(file, saved), Ok(true)));
            let less = take(file, text, saved.as_deref()).map_err(fault)?;
            let nothing = file.format.is_empty(&less, &[]).map_err(fault)?;
            let after = match saved {
                // Nothing else was changed since: not a blank differs.
                Some(saved) if same_but_blanks(&saved, &less) => Some(saved),
                None if nothing => None,
                _ => Some(less),
            };
            Ok(Plan { before, after, private: holds_key(file), backup: Backup::Drop, path })
        };
        client.setup.files.iter().map(plan).collect::<Result<_, _>>().map(Plans)
    }

    /// Does it; gives every file with what became of it.
    pub(crate) fn carry_out(self) -> Result<Vec<(PathBuf, Done)>, PlanError> {
        self.0.into_iter().map(Plan::carry_out).collect()
    }
}

impl Plan {
    fn carry_out(self) -> Result<(PathBuf, Done), PlanError> {
        let saved = backup_of(&self.path);
        if let (Backup::Make, Some(before)) = (self.backup, &self.before) {
            // It may hold a key of somebody else's.
            write(&saved, before, true)?;
        }
        let done = match (&self.before, &self.after) {
            (None, None) => Done::Unchanged,
            (Some(before), Some(after)) if before == after => {
                if self.private {
                    close(&self.path)?;
                }
                Done::Unchanged
            }
            (before, Some(after)) => {
                write(&self.path, after, self.private || before.is_none())?;
                match (before, self.backup) {
                    (None, _) => Done::Made,
                    (Some(_), Backup::Drop) => Done::Restored,
                    (Some(_), _) => Done::Changed,
                }
            }
            (Some(_), None) => {
                fs::remove_file(&self.path).map_err(|error| failed("delete", &self.path, error))?;
                Done::Deleted
            }
        };
        if self.backup == Backup::Drop && saved.exists() {
            fs::remove_file(&saved).map_err(|error| failed("delete", &saved, error))?;
        }
        Ok((self.path, done))
    }
}

/// Every client's idea of this file: two ways to use one program share its settings.
fn all_of(file: &File) -> impl Iterator<Item = &'static File> {
    let (folder, names) = (file.folder, file.names);
    CLIENTS
        .iter()
        .flat_map(|client| client.setup.files)
        .filter(move |other| other.folder == folder && other.names == names)
}

fn holds_key(file: &File) -> bool {
    file.settings.iter().any(|setting| match setting.value {
        Value::Text(text) | Value::Line(_, text) => text.contains("{key}"),
    })
}

/// Whether the file's mark is there: the client uses a gateway.
fn is_marked(file: &File, text: &str) -> Result<bool, EditError> {
    let (path, mark) = file.mark;
    let raw = file.format.get(text, path)?;
    let value = raw.and_then(|raw| file.format.unquote(&raw)).unwrap_or_default();
    Ok(value.lines().any(|line| line.starts_with(mark)))
}

/// Whether the file holds anything that [`take`] would take.
fn is_ours(file: &File, text: &str) -> Result<bool, EditError> {
    let owned = file.settings.iter().filter_map(|setting| owned(setting.path));
    owned
        .into_iter()
        .try_fold(is_marked(file, text)?, |found, path| Ok(found || file.format.has(text, path)?))
}

/// The part of a path below which everything is ours.
fn owned<'a>(path: &'a [&'a str]) -> Option<&'a [&'a str]> {
    path.get(..=path.iter().position(|step| *step == OURS)?)
}

fn put(
    client: &Client,
    file: &File,
    text: &str,
    saved: Option<&str>,
    values: &Values,
) -> Result<String, EditError> {
    let mut text = text.to_owned();
    // Another way to use the same program would contradict this one.
    for other in all_of(file).filter(|other| other.mark != file.mark) {
        if is_marked(other, &text)? {
            text = take(other, &text, saved)?;
        }
    }
    for setting in file.settings.iter().filter(|setting| !setting.if_model || values.model.is_some()) {
        let path = values.path(setting.path, client.model);
        let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        let old = file.format.get(&text, &path)?.and_then(|raw| file.format.unquote(&raw));
        let new = match setting.value {
            Value::Text(value) => values.fill(value, client.model),
            Value::Line(mark, rest) => {
                let line = format!("{mark}{}", values.fill(rest, client.model));
                let others = others(old.as_deref().unwrap_or_default(), mark);
                if others.is_empty() { line } else { format!("{others}\n{line}") }
            }
        };
        if old.as_deref() != Some(new.as_str()) {
            text = file.format.set(&text, &path, &file.format.quote(&new))?;
        }
    }
    Ok(text)
}

/// The lines that do not begin with the mark.
fn others(text: &str, mark: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(mark)).collect();
    lines.join("\n")
}

/// The text without what is ours, with what stood there before.
fn take(file: &File, text: &str, saved: Option<&str>) -> Result<String, EditError> {
    let format = file.format;
    let saved = match saved {
        Some(saved) if !is_ours(file, saved)? => saved,
        _ => "",
    };
    let marked = is_marked(file, text)?;
    let mut text = text.to_owned();
    for Setting { path, value, .. } in file.settings {
        if let Some(owned) = owned(path) {
            text = format.remove(&text, owned)?;
            text = prune(format, text, saved, owned)?;
            continue;
        }
        if !marked {
            continue;
        }
        let rest = match value {
            Value::Text(_) => None,
            Value::Line(mark, _) => {
                let old = format.get(&text, path)?.and_then(|raw| format.unquote(&raw));
                let rest = others(old.as_deref().unwrap_or_default(), mark);
                (!rest.is_empty()).then(|| format.quote(&rest))
            }
        };
        let earlier = match value {
            Value::Text(_) => format.get(saved, path)?,
            Value::Line(..) => rest,
        };
        text = match earlier {
            Some(raw) => format.set(&text, path, &raw)?,
            None => prune(format, format.remove(&text, path)?, saved, path)?,
        };
    }
    Ok(text)
}

/// Removes the tables above `path` that have nothing in them and were not there before.
fn prune(format: Format, mut text: String, saved: &str, path: &[&str]) -> Result<String, EditError> {
    for depth in (1..path.len()).rev() {
        let above = path.get(..depth).unwrap_or_default();
        if format.is_empty(&text, above)? && !format.has(saved, above)? {
            text = format.remove(&text, above)?;
        }
    }
    Ok(text)
}

fn same_but_blanks(one: &str, other: &str) -> bool {
    let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    solid(one) == solid(other)
}

/// The file itself, if the path is a link to it: the link stays.
fn resolve(path: PathBuf) -> Result<PathBuf, PlanError> {
    match fs::symlink_metadata(&path) {
        Ok(_) => fs::canonicalize(&path).map_err(|error| failed("follow", &path, error)),
        Err(_absent) => Ok(path),
    }
}

fn read(path: &Path) -> Result<Option<String>, PlanError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path, error)),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| failed("read", path, error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(PlanError::TooLarge { path: path.to_owned() });
    }
    Ok(Some(text))
}

fn failed(verb: &'static str, path: &Path, error: io::Error) -> PlanError {
    PlanError::Io { verb, path: path.to_owned(), error }
}

/// Where the copy of a file as it was before is.
fn backup_of(path: &Path) -> PathBuf {
    beside(path, BACKUP)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(ending);
    path.with_file_name(name)
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str, private: bool) -> Result<(), PlanError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| failed("make", folder, error))?;
    }
    let unfinished = beside(path, &format!(".narrows-{}", std::process::id()));
    let written = (|| {
        let mut file = create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        if !private && let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&unfinished, path)
    })();
    written.map_err(|error| {
        drop(fs::remove_file(&unfinished));
        failed("write", path, error)
    })
}

/// A new file that only its owner may read.
fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Lets only the owner read a file that holds a key.
fn close(path: &Path) -> Result<(), PlanError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|error| failed("protect", path, error))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
