//! Names of commands that `rename-command` changed.

use hashbrown::HashMap;

/// What a name means where that was changed.
#[derive(Debug, Default)]
pub struct Renamed(HashMap<Box<[u8]>, Option<&'static str>>);

impl Renamed {
    /// The command's own name, or nothing where no command is called so any more; `None` where the name was not touched.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Option<&'static str>> {
        self.0.get(name.to_ascii_lowercase().as_slice()).copied()
    }

    /// Says what a name means.
    pub fn set(&mut self, name: &[u8], own: Option<&'static str>) {
        self.0.insert(name.to_ascii_lowercase().into(), own);
    }
}
