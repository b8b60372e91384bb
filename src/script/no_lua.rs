//! What stands for Lua in a build without the feature `lua`: an interpreter that cannot be made.

use std::convert::Infallible;
use std::time::Duration;

use super::Sha1;
use super::flags::ScriptFlags;
use crate::reply::{Reply, Response};

const NO_LUA: &str = "this build has no Lua: register the script as a native script, or build with the feature `lua`";

/// An error that a script returns or raises, and whether a command has counted it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Begins with its code.
    pub text: String,
    /// INFO has counted it already.
    pub counted: bool,
}

/// What serves a script while it runs.
pub trait Host {
    /// Runs a command and returns its reply, an error too, in the shapes of RESP3 or of RESP2.
    fn call(&mut self, args: &[&[u8]], resp3: bool) -> Response;
    /// Whether its commands have taken so long that it wants its turn before the next.
    fn is_due(&self) -> bool {
        false
    }
    /// Whether the script's user may run a command; `None` if there is no such command.
    fn may_run(&mut self, args: &[&[u8]]) -> Option<bool>;
    /// Whether the effects of what follows go to the log.
    fn set_logging(&mut self, log: bool);
    /// Of the last call that failed: whether the command was refused and did not run. Asked by a debugger only.
    fn take_refused(&mut self) -> bool {
        false
    }
    /// Says what a debugger has to say; with `wait` returns what is answered. `None`: nobody is there.
    fn converse(&mut self, _said: &[u8], _wait: bool) -> Option<Vec<u8>> {
        None
    }
    /// A function of the API has failed with this text. Heard by a debugger only.
    fn note_error(&mut self, _text: &str) {}
    /// Called every so many instructions: lets others work when the script has run for long.
    ///
    /// # Errors
    ///
    /// Why the script must end now.
    fn tick(&mut self) -> Result<(), &'static str>;
}

/// What a library tells of one of its functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredFunction {
    /// As it was written; it is found in any case.
    pub name: Box<[u8]>,
    /// Its description.
    pub description: Option<Box<[u8]>>,
    /// What it may do.
    pub flags: ScriptFlags,
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// There is none.
#[derive(Debug)]
pub struct Interpreter(Infallible);

/// There is none.
#[derive(Debug)]
pub struct LoadedLibrary(Infallible);

impl LoadedLibrary {
    /// Never called.
    pub fn functions(&self) -> impl Iterator<Item = &RegisteredFunction> {
        match self.0 {}
        #[expect(unreachable_code, reason = "the type of the iterator has to be said")]
        std::iter::empty()
    }
}

impl Interpreter {
    /// There is none.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        match self.0 {}
    }

    /// Refuses.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn new(_: u64, _: bool) -> Result<Self, String> {
        Err(NO_LUA.to_owned())
    }

    /// Never called.
    pub fn limit_memory(&mut self, _: usize) {
        match self.0 {}
    }

    /// Never called.
    pub fn tidy_up(&mut self) -> usize {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    ///
    /// None.
    pub fn compile(&mut self, _: &Sha1, _: &[u8]) -> Result<(), String> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    ///
    /// None.
    pub fn run_script(
        &mut self,
        _: &Sha1,
        _: &[&[u8]],
        _: &[&[u8]],
        _: &mut dyn Host,
        _: &mut dyn Reply,
    ) -> Result<(), Failure> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    ///
    /// None.
    pub fn debug_script(
        &mut self,
        _: &Sha1,
        _: (&[u8], Duration),
        _: (&[&[u8]], &[&[u8]]),
        _: &mut dyn Host,
        _: &mut dyn Reply,
    ) -> Result<(), Failure> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    ///
    /// None.
    pub fn run_function(
        &mut self,
        _: &[u8],
        _: &[&[u8]],
        _: &[&[u8]],
        _: &mut dyn Host,
        _: &mut dyn Reply,
    ) -> Result<(), Failure> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    ///
    /// None.
    pub fn load_library(&mut self, _: &[u8], _: &mut dyn Host) -> Result<LoadedLibrary, String> {
        match self.0 {}
    }

    /// Never called.
    pub fn adopt(&mut self, _: LoadedLibrary) {
        match self.0 {}
    }

    /// Never called.
    pub fn forget(&mut self, _: &[u8]) {
        match self.0 {}
    }

    /// Never called.
    #[must_use]
    pub fn knows(&self, _: &[u8]) -> bool {
        match self.0 {}
    }
}
