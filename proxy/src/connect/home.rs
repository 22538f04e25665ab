//! Where a user's settings files are.

use super::File;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The user's home and the variables that move settings elsewhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Home {
    folder: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Home {
    /// The home of whoever runs this, if there is one.
    pub(crate) fn of_user(variable: &dyn Fn(&str) -> Option<String>) -> Option<Home> {
        let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
        let folder = filled("HOME").or_else(|| filled("USERPROFILE"))?;
        let names =
            super::CLIENTS.iter().flat_map(|client| client.setup.files).filter_map(|file| file.variable);
        let variables = names.filter_map(|(name, _)| Some((name.to_owned(), filled(name)?))).collect();
        Some(Home { folder: folder.into(), variables })
    }

    #[cfg(test)]
    pub(crate) fn at(folder: &Path) -> Home {
        Home { folder: folder.to_owned(), variables: BTreeMap::new() }
    }

    /// Where a file is, or would be made.
    pub(crate) fn path(&self, file: &File) -> PathBuf {
        let moved =
            file.variable.and_then(|(name, below)| Some(Path::new(self.variables.get(name)?).join(below)));
        let folder = moved.unwrap_or_else(|| self.folder.join(file.folder));
        let names = file.names.iter().map(|name| folder.join(name));
        let first = file.names.first().map_or_else(|| folder.clone(), |name| folder.join(name));
        names.into_iter().find(|path| path.exists()).unwrap_or(first)
    }

    /// The place as people write it, wherever the home is.
    pub(crate) fn shown(file: &File) -> String {
        let name = file.names.first().copied().unwrap_or_default();
        if file.folder.is_empty() { format!("~/{name}") } else { format!("~/{}/{name}", file.folder) }
    }
}
