//! Opens a log: reads the manifest, verifies every file, hands out the commands. Changes nothing on disk before the log is
//! started. Knows no meaning of a command but MULTI and EXEC.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blocks::{Blocks, Stop};
use crate::error::AofError;
use crate::manifest::{Entry, Kind, Layout, Manifest};
use crate::options::Options;
use crate::storage::{File, Storage};
use crate::verify::{Damage, Expectation, Verdict, Verified, verify};

const RDB_MAGIC: &[u8] = b"REDIS";

/// What a recovery found; all of it is worth a line in the server's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Files in the manifest, without history.
    pub files: usize,
    /// Bytes that are loaded.
    pub bytes: u64,
    /// Commands that are loaded (those of an RDB base not counted).
    pub commands: u64,
    /// Every file of commands has checksums, and they are right. False for files of Redis's own.
    pub checksums: bool,
    /// What is cut off at the end, if anything.
    pub cut: Option<Cut>,
}

/// The end of a log that is not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file that is cut.
    pub path: PathBuf,
    /// Where it is cut.
    pub offset: u64,
    /// Bytes behind that.
    pub bytes: u64,
    /// Whole commands behind that, as far as they could be counted.
    pub commands: u64,
    /// Why.
    pub reason: &'static str,
    /// Where the cut bytes are kept once the log is started.
    pub kept_in: PathBuf,
}

/// A file of the log, verified.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) kind: Kind,
    /// Where the commands begin.
    begin: u64,
    pub(crate) len: u64,
    pub(crate) rdb: bool,
    pub(crate) verified: Verified,
}

/// A log that was verified and not yet started: its commands can be applied, then [`Recovery::start`] opens it for appending.
#[derive(Debug)]
pub struct Recovery {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) layout: Layout,
    pub(crate) options: Options,
    pub(crate) manifest: Manifest,
    /// A single file of Redis before 7 still has to be moved into the directory.
    pub(crate) upgrade: bool,
    pub(crate) files: Vec<LogFile>,
    /// With `repair`: files behind a damaged one, which are set aside.
    pub(crate) dropped: Vec<Entry>,
    report: Report,
}

/// Why applying stopped.
#[derive(Debug)]
pub enum ApplyError<E> {
    /// The log could not be read.
    Log(AofError),
    /// The callback refused a command.
    Refused {
        /// The file it stands in.
        path: PathBuf,
        /// Its offset there.
        offset: u64,
        /// What the callback said.
        error: E,
    },
}

impl Recovery {
    /// Reads the manifest and verifies every file, all of it read-only. A directory without a log is an empty log.
    ///
    /// # Errors
    /// A manifest that cannot be trusted, a missing file, damage in what was known to be on disk (unless
    /// [`Options::repair`]), or an unfinished end of a file of Redis's own without [`Options::load_truncated`].
    pub fn open(storage: Arc<dyn Storage>, options: Options) -> Result<Self, AofError> {
        let layout = Layout::of(&options);
        let (manifest, upgrade) = load_manifest(&*storage, &layout)?;
        let mut recovery = Self {
            storage,
            layout,
            options,
            manifest,
            upgrade,
            files: Vec::new(),
            dropped: Vec::new(),
            report: Report::default(),
        };
        let entries: Vec<Entry> = recovery.manifest.files().cloned().collect();
        for (index, entry) in entries.iter().enumerate() {
            if recovery.report.cut.is_some() {
                recovery.dropped.push(entry.clone());
                continue;
            }
            recovery.verify_file(entry, index + 1 == entries.len())?;
        }
        recovery.check_ends(&entries)?;
        recovery.count();
        Ok(recovery)
    }

    /// What we have completed ends in a mark: a base, and an increment behind which we have begun another. A file that lost
    /// whole batches at its end would look complete without it.
    fn check_ends(&mut self, entries: &[Entry]) -> Result<(), AofError> {
        let next = self.files.iter().skip(1).map(Some).chain([None]);
        let cut_short = self.files.iter().zip(next).position(|(file, next)| {
            let ours = file.verified.ours && !file.verified.marked;
            let complete =
                file.kind == Kind::Base || next.is_some_and(|next| next.verified.begun_by_us);
            let known = entries.iter().find(|entry| entry.name == file.name);
            let has_length = known.is_some_and(|entry| entry.length.is_some());
            ours && complete && !has_length && file.verified.damage.is_none()
        });
        let Some(index) = cut_short else {
            return Ok(());
        };
        let behind = self.files.split_off(index + 1);
        let dropped = behind.iter().filter_map(|file| {
            let mut entries = entries.iter();
            entries.find(|entry| entry.name == file.name).cloned()
        });
        self.dropped.splice(0..0, dropped);
        let Some(file) = self.files.last() else {
            return Ok(());
        };
        let (path, end) = (file.path.clone(), file.verified.end);
        let damage = Damage {
            verdict: Verdict::Corrupt,
            reason: "the mark at its end is missing",
            commands: 0,
        };
        self.judge(&path, end, end, damage)
    }

    fn verify_file(&mut self, entry: &Entry, last: bool) -> Result<(), AofError> {
        let inside = self.layout.path(&entry.name);
        let path = if self.upgrade && entry.kind == Kind::Base {
            self.layout.legacy_path()
        } else {
            inside
        };
        let file: Arc<dyn File> = self
            .storage
            .open(&path)
            .map_err(AofError::io("open", &path))?
            .into();
        let len = file.len().map_err(AofError::io("read", &path))?;
        let mut magic = [0; RDB_MAGIC.len()];
        let read = file
            .read_full_at(&mut magic, 0)
            .map_err(AofError::io("read", &path))?;
        let rdb = entry.kind == Kind::Base && read == RDB_MAGIC.len() && magic == RDB_MAGIC;
        if let Some(length) = entry.length
            && length > len
        {
            self.judge(
                &path,
                len,
                len,
                Damage {
                    verdict: Verdict::Corrupt,
                    reason: "the file is shorter than the manifest says",
                    commands: 0,
                },
            )?;
        }
        let end = entry.length.filter(|_| !last).unwrap_or(len).min(len);
        let verified = if rdb {
            Verified {
                end,
                ..Verified::default()
            }
        } else {
            verify(
                &*file,
                Expectation {
                    begin: 0,
                    end,
                    complete: !last,
                },
            )
            .map_err(AofError::io("read", &path))?
        };
        if let Some(damage) = verified.damage {
            self.judge(&path, verified.end, end, damage)?;
        }
        let (name, kind) = (entry.name.clone(), entry.kind);
        self.files.push(LogFile {
            name,
            path,
            file,
            kind,
            begin: 0,
            len,
            rdb,
            verified,
        });
        Ok(())
    }

    /// Decides whether damage is cut off or refused.
    fn judge(
        &mut self,
        path: &Path,
        offset: u64,
        end: u64,
        damage: Damage,
    ) -> Result<(), AofError> {
        let fine = match damage.verdict {
            Verdict::Torn => true,
            Verdict::Truncated if !(self.options.load_truncated || self.options.repair) => {
                return Err(AofError::Truncated {
                    path: path.to_path_buf(),
                    offset,
                });
            }
            Verdict::Truncated => true,
            Verdict::Corrupt => self.options.repair,
        };
        if !fine {
            return Err(AofError::corrupt(path, offset, damage.reason));
        }
        let kept_in = side_path(&*self.storage, path, self.options.unix_time)?;
        self.report.cut = Some(Cut {
            path: path.to_path_buf(),
            offset,
            bytes: end - offset,
            commands: damage.commands,
            reason: damage.reason,
            kept_in,
        });
        Ok(())
    }

    fn count(&mut self) {
        self.report.files = self.files.len();
        self.report.bytes = self.files.iter().map(|file| file.verified.end).sum();
        self.report.commands = self.files.iter().map(|file| file.verified.commands).sum();
        let with_commands = || self.files.iter().filter(|file| !file.rdb || file.begin > 0);
        self.report.checksums = with_commands().count() > 0
            && with_commands().all(|file| file.verified.checksums || file.verified.end == 0);
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether nothing was ever logged here: there is no base and no command.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let mut files = self.files.iter();
        self.report.cut.is_none()
            && files.all(|file| file.kind == Kind::Increment && file.verified.commands == 0)
    }

    /// The base, where it is (or begins with) an RDB: its path and its bytes. The caller loads it before it applies commands,
    /// and where the RDB ends before the file does, says so with [`Recovery::set_base_tail`].
    #[must_use]
    pub fn rdb_base(&self) -> Option<(&Path, impl Read + use<>)> {
        let base = self.files.first().filter(|file| file.rdb)?;
        Some((
            base.path.as_path(),
            FileReader {
                file: Arc::clone(&base.file),
                offset: 0,
                end: base.verified.end,
            },
        ))
    }

    /// The RDB at the beginning of the base ends at `offset`, and commands follow: a single file of Redis 4 … 6.
    ///
    /// # Errors
    /// As [`Recovery::open`], for the commands behind the RDB.
    pub fn set_base_tail(&mut self, offset: u64) -> Result<(), AofError> {
        let last = self.files.len() == 1;
        let Some(base) = self
            .files
            .first_mut()
            .filter(|base| base.rdb && offset < base.len)
        else {
            return Ok(());
        };
        let expectation = Expectation {
            begin: offset,
            end: base.len,
            complete: !last,
        };
        base.verified =
            verify(&*base.file, expectation).map_err(AofError::io("read", &base.path))?;
        base.begin = offset;
        let (path, end, len, damage) = (
            base.path.clone(),
            base.verified.end,
            base.len,
            base.verified.damage,
        );
        if let Some(damage) = damage {
            self.judge(&path, end, len, damage)?;
        }
        self.count();
        Ok(())
    }

    /// Hands whole commands of what is not loaded to `see`, as far as any can be made out there: what stands behind the cut,
    /// and in files behind that. With [`Options::repair`] that is what a start would take away. Answers how many there were.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn for_each_cut_command(&self, mut see: impl FnMut(&[&[u8]])) -> Result<u64, AofError> {
        let mut commands = 0;
        if let Some(cut) = &self.report.cut
            && let Some(file) = self.files.iter().find(|file| file.path == cut.path)
        {
            let counted = see_commands(&*file.file, cut.offset, file.len, &mut see);
            commands += counted.map_err(AofError::io("read", &file.path))?;
        }
        for entry in &self.dropped {
            let path = self.layout.path(&entry.name);
            let counted = self.storage.open(&path).and_then(|file| {
                let len = file.len()?;
                see_commands(&*file, 0, len, &mut see)
            });
            commands += counted.map_err(AofError::io("read", &path))?;
        }
        Ok(commands)
    }

    /// Hands every command to `apply`, in order, with its file's offset; answers how many there were. Memory: one block, or
    /// the largest command.
    ///
    /// Each file begins with database 0 selected, as it does for Redis: `new_file` is called before the first command of each,
    /// with the bytes of the files before.
    ///
    /// # Errors
    /// Stops at the first command that `apply` refuses.
    pub fn for_each_command<E>(
        &self,
        mut new_file: impl FnMut(&Path, u64),
        mut apply: impl FnMut(&[&[u8]], u64) -> Result<(), E>,
    ) -> Result<u64, ApplyError<E>> {
        let (mut commands, mut bytes) = (0, 0);
        for file in &self.files {
            if !file.rdb || file.begin > 0 {
                new_file(&file.path, bytes);
                commands += apply_file(file, &mut apply)?;
            }
            bytes += file.verified.end;
        }
        Ok(commands)
    }
}

fn apply_file<E>(
    file: &LogFile,
    apply: &mut impl FnMut(&[&[u8]], u64) -> Result<(), E>,
) -> Result<u64, ApplyError<E>> {
    let mut blocks = Blocks::new(&*file.file, file.begin, file.verified.end);
    let mut places = Vec::new();
    let mut commands = 0;
    loop {
        let offset = blocks.offset();
        let ahead = blocks
            .peek(1)
            .map_err(|error| ApplyError::Log(AofError::io("read", &file.path)(error)))?;
        let step = match ahead.first() {
            None => return Ok(commands),
            Some(b'#') => skip_line(&mut blocks),
            Some(_) => {
                commands += 1;
                blocks.whole_command(&mut places).map(|len| (len, true))
            }
        };
        let (len, command) =
            step.map_err(|stop| ApplyError::Log(unreadable(stop, &file.path, offset)))?;
        if command {
            let ahead = blocks
                .peek(len)
                .map_err(|error| ApplyError::Log(AofError::io("read", &file.path)(error)))?;
            with_arguments(ahead, &places, |arguments| apply(arguments, offset)).map_err(
                |error| ApplyError::Refused {
                    path: file.path.clone(),
                    offset,
                    error,
                },
            )?;
        }
        blocks.consume(len);
    }
}

/// Commands among bytes of which nothing is sure: what is none is passed over up to the next line that may begin one.
fn see_commands(
    file: &dyn File,
    begin: u64,
    end: u64,
    see: &mut impl FnMut(&[&[u8]]),
) -> io::Result<u64> {
    let mut blocks = Blocks::new(file, begin, end);
    let mut places = Vec::new();
    let mut commands = 0;
    loop {
        let begins = blocks.peek(1)?.first().copied();
        let whole = match begins {
            None => return Ok(commands),
            Some(b'*') => blocks.whole_command(&mut places),
            Some(_) => Err(Stop::Invalid),
        };
        match whole {
            Ok(len) => {
                with_arguments(blocks.peek(len)?, &places, &mut *see);
                blocks.consume(len);
                commands += 1;
            }
            Err(Stop::Io(error)) => return Err(error),
            Err(Stop::End | Stop::Invalid) => pass_line(&mut blocks)?,
        }
    }
}

fn pass_line(blocks: &mut Blocks<'_>) -> io::Result<()> {
    let ahead = blocks.peek(1)?;
    let feed = ahead.iter().position(|&byte| byte == b'\n');
    let len = feed.map_or(ahead.len(), |feed| feed + 1);
    blocks.consume(len);
    Ok(())
}

fn skip_line(blocks: &mut Blocks<'_>) -> Result<(usize, bool), Stop> {
    match blocks.peek_line(64 * 1024)? {
        Some(line) => Ok((line.len(), false)),
        None => Err(Stop::Invalid),
    }
}

/// Few arguments stay on the stack.
fn with_arguments<T>(
    bytes: &[u8],
    places: &[(usize, usize)],
    call: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    let argument = |&(begin, end): &(usize, usize)| &bytes[begin..end];
    if places.len() <= 16 {
        let mut few: [&[u8]; 16] = [&[]; 16];
        for (slot, place) in few.iter_mut().zip(places) {
            *slot = argument(place);
        }
        call(&few[..places.len()])
    } else {
        call(&places.iter().map(argument).collect::<Vec<_>>())
    }
}

/// What was verified a moment ago cannot be read any more.
fn unreadable(stop: Stop, path: &Path, offset: u64) -> AofError {
    match stop {
        Stop::Io(error) => AofError::io("read", path)(error),
        Stop::End | Stop::Invalid => {
            AofError::corrupt(path, offset, "the file changed while it was read")
        }
    }
}

/// The manifest, and whether the base is a single file of an older Redis that still stands outside the directory.
fn load_manifest(storage: &dyn Storage, layout: &Layout) -> Result<(Manifest, bool), AofError> {
    let legacy = layout.legacy_path();
    let is_there = |path: &Path| storage.exists(path).map_err(AofError::io("open", path));
    match Manifest::load(storage, layout)? {
        Some(manifest) => {
            let named = manifest.increments.is_empty()
                && manifest
                    .base
                    .as_ref()
                    .is_some_and(|base| base.name == layout.file_name);
            let upgrade =
                named && !is_there(&layout.path(&layout.file_name))? && is_there(&legacy)?;
            Ok((manifest, upgrade))
        }
        None if is_there(&legacy)? => {
            let base = Entry {
                name: layout.file_name.clone(),
                sequence: 1,
                kind: Kind::Base,
                length: None,
            };
            Ok((
                Manifest {
                    base: Some(base),
                    ..Manifest::default()
                },
                true,
            ))
        }
        None => Ok((Manifest::default(), false)),
    }
}

/// `<file>.cut-<unix time>`, with a number behind it if that is taken.
fn side_path(storage: &dyn Storage, path: &Path, unix_time: u64) -> Result<PathBuf, AofError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut candidate = path.with_file_name(format!("{name}.cut-{unix_time}"));
    let mut number = 1;
    while storage
        .exists(&candidate)
        .map_err(AofError::io("open", &candidate))?
    {
        candidate = path.with_file_name(format!("{name}.cut-{unix_time}-{number}"));
        number += 1;
    }
    Ok(candidate)
}

struct FileReader {
    file: Arc<dyn File>,
    offset: u64,
    end: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
