//! Import and export: keys go from one peer to another by SCAN, DUMP and RESTORE, with their expiry, a page at a time. An
//! import from a running server notes how far it is, and goes on from there when it is run again.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::peer::{Peer, Words, field, is_server};
use super::stream::Trust;
use super::{Source, backup, settings};
use crate::engine::Engine;
use crate::reply::Response;

/// Keys of one page, more or less.
const PAGE: &str = "200";
/// How often the progress is told and noted.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Where an import into a data directory notes how far it is.
const STATE: &str = "import-state";

/// How far a transfer is: everything of the databases before, and of this one all that SCAN gave before this cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    db: usize,
    cursor: Vec<u8>,
}

impl Place {
    fn beginning() -> Self {
        Self {
            db: 0,
            cursor: b"0".to_vec(),
        }
    }
}

/// Takes data in.
pub(super) fn import(
    (source, trust): (&str, &Trust),
    dir: &Path,
    to: Option<&str>,
    merge: bool,
) -> Result<(), Failure> {
    let mut from = open_source(source, trust)?;
    if let Some(to) = to {
        let mut target = Peer::connect(to, trust)?;
        let mut transfer = Transfer::new(&mut from, &mut target)?;
        transfer.run(Place::beginning(), |_| Ok(()))?;
        return transfer.copy_functions();
    }
    std::fs::create_dir_all(dir).map_err(Failure::at(dir))?;
    let state = State {
        path: dir.join(STATE),
        source: source.to_owned(),
    };
    let resumed = state.read()?.filter(|_| is_server(source));
    if resumed.is_none() && !merge && backup::holds_data(dir)? {
        return Err(Failure::new(format!(
            "{} holds data already. With --merge its keys are kept unless they are imported too",
            dir.display()
        )));
    }
    let engine = Engine::open(settings(dir, true)?)?;
    let mut target = Peer::here(&engine);
    let mut transfer = Transfer::new(&mut from, &mut target)?;
    if let Some(place) = &resumed {
        eprintln!("Goes on where it was interrupted, in database {}", place.db);
    }
    let begin = resumed.unwrap_or_else(Place::beginning);
    state.write(&begin)?;
    transfer.run(begin, |place| {
        engine.sync_log()?;
        state.write(place)
    })?;
    transfer.copy_functions()?;
    engine.sync_log()?;
    state.remove()?;
    println!("{} is ready: start innkeep on it", dir.display());
    Ok(())
}

/// Gives data out.
pub(super) fn export(dest: &str, source: &Source) -> Result<(), Failure> {
    if !is_server(dest) {
        return backup::back_up(Path::new(dest), source);
    }
    let mut from = match &source.dir {
        Some(dir) => Peer::here(&Engine::read_only(settings(dir, true)?)?),
        None => Peer::connect(&source.from, &source.trust)?,
    };
    let mut target = Peer::connect(dest, &source.trust)?;
    let mut transfer = Transfer::new(&mut from, &mut target)?;
    transfer.run(Place::beginning(), |_| Ok(()))?;
    transfer.copy_functions()
}

/// A server, a data directory, or an RDB file; the latter two are read into memory.
fn open_source(source: &str, trust: &Trust) -> Result<Peer, Failure> {
    if is_server(source) {
        return Peer::connect(source, trust);
    }
    let path = Path::new(source);
    let kind = std::fs::metadata(path).map_err(Failure::at(path))?;
    if kind.is_dir() {
        if !backup::holds_data(path)? {
            return Err(Failure::new(format!(
                "{source} holds neither a log nor a snapshot"
            )));
        }
        return Ok(Peer::here(&Engine::read_only(settings(path, true)?)?));
    }
    let engine = Engine::without_disk(settings(Path::new("."), false)?)?;
    engine.read_rdb(path)?;
    Ok(Peer::here(&engine))
}

/// One transfer.
struct Transfer<'a> {
    from: &'a mut Peer,
    to: &'a mut Peer,
    /// Databases of the source that hold keys.
    databases: Vec<usize>,
    /// Both sides know PEXPIRETIME, so that an expiry arrives as the very moment that it is.
    exact: bool,
    expected: u64,
    keys: u64,
}

impl<'a> Transfer<'a> {
    fn new(from: &'a mut Peer, to: &'a mut Peer) -> Result<Self, Failure> {
        let info = from.demand_text(&["INFO", "keyspace"])?;
        let (mut databases, mut expected) = (Vec::new(), 0);
        for line in info.lines() {
            let Some((db, fields)) = line
                .strip_prefix("db")
                .and_then(|line| line.split_once(':'))
            else {
                continue;
            };
            let keys = fields
                .split(',')
                .find_map(|part| part.strip_prefix("keys="))
                .and_then(|keys| keys.parse::<u64>().ok());
            if let (Ok(db), Some(keys)) = (db.parse(), keys) {
                databases.push(db);
                expected += keys;
            }
        }
        let exact = tells_expiry(from)? && tells_expiry(to)?;
        Ok(Self {
            from,
            to,
            databases,
            exact,
            expected,
            keys: 0,
        })
    }

    /// Moves everything from a place on. `note` is told now and then how far it is.
    fn run(
        &mut self,
        begin: Place,
        mut note: impl FnMut(&Place) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let mut told = Instant::now();
        for db in self.databases.clone() {
            if db < begin.db {
                continue;
            }
            let number = db.to_string();
            self.from.demand_text(&["SELECT", &number])?;
            self.to.demand_text(&["SELECT", &number])?;
            let mut cursor = if db == begin.db {
                begin.cursor.clone()
            } else {
                b"0".to_vec()
            };
            loop {
                cursor = self.move_page(&cursor)?;
                if told.elapsed() >= TOLD_EVERY {
                    told = Instant::now();
                    self.tell();
                    let next = match &*cursor {
                        b"0" => Place {
                            db: db + 1,
                            cursor: b"0".to_vec(),
                        },
                        _ => Place {
                            db,
                            cursor: cursor.clone(),
                        },
                    };
                    note(&next)?;
                }
                if cursor == b"0" {
                    break;
                }
            }
        }
        println!(
            "{} keys from {} to {} in {:.1} seconds",
            self.keys,
            self.from.name(),
            self.to.name(),
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn tell(&self) {
        let percent = (self.keys as f64 / self.expected.max(1) as f64 * 100.0).min(100.0);
        eprintln!(
            "{} of about {} keys ({percent:.0} %)",
            self.keys, self.expected
        );
    }

    /// Moves the keys of one call of SCAN; answers the next cursor.
    fn move_page(&mut self, cursor: &[u8]) -> Result<Vec<u8>, Failure> {
        let scan = vec![
            b"SCAN".to_vec(),
            cursor.to_vec(),
            b"COUNT".to_vec(),
            PAGE.as_bytes().to_vec(),
        ];
        let (next, keys) = page(self.from.demand(scan)?).ok_or_else(|| self.strange("SCAN"))?;
        let expiry: &[u8] = if self.exact { b"PEXPIRETIME" } else { b"PTTL" };
        let questions: Vec<Words> = keys
            .iter()
            .flat_map(|key| {
                [
                    vec![b"DUMP".to_vec(), key.clone()],
                    vec![expiry.to_vec(), key.clone()],
                ]
            })
            .collect();
        let answers = self.from.ask(&questions)?;
        let mut orders = Vec::new();
        let mut moved = Vec::new();
        for (key, answer) in keys.iter().zip(answers.chunks_exact(2)) {
            let [value, ttl] = answer else { continue };
            match (value, ttl) {
                // It has expired or was deleted in the meantime.
                (Response::Null, _) | (_, Response::Int(-2)) => {}
                (Response::Bulk(payload), Response::Int(ttl)) => {
                    orders.push(restore(key, *ttl, self.exact, payload));
                    moved.push(key);
                }
                (Response::Error(text), _) | (_, Response::Error(text)) => {
                    return Err(self.refused("DUMP", key, text));
                }
                _ => return Err(self.strange("DUMP")),
            }
        }
        for (key, answer) in moved.iter().zip(self.to.ask(&orders)?) {
            if let Response::Error(text) = answer {
                return Err(self.refused("RESTORE", key, &text));
            }
        }
        self.keys += moved.len() as u64;
        Ok(next)
    }

    /// Libraries of functions, where both sides know any.
    fn copy_functions(&mut self) -> Result<(), Failure> {
        let dump = [vec![b"FUNCTION".to_vec(), b"DUMP".to_vec()]];
        let Some(Response::Bulk(payload)) = self.from.ask(&dump)?.pop() else {
            // Servers before 7.0 have none.
            return Ok(());
        };
        let count = [vec![b"FUNCTION".to_vec(), b"STATS".to_vec()]];
        let knows = self.to.ask(&count)?;
        if matches!(knows.first(), Some(Response::Error(_))) {
            return Ok(());
        }
        let words: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", &payload, b"REPLACE"];
        self.to
            .demand(words.iter().map(|word| word.to_vec()).collect())
            .map(drop)
    }

    fn strange(&self, what: &str) -> Failure {
        Failure::new(format!(
            "{} answers {what} as no server should",
            self.from.name()
        ))
    }

    fn refused(&self, what: &str, key: &[u8], text: &str) -> Failure {
        let (from, to) = (self.from.name(), self.to.name());
        Failure::new(format!(
            "{what} of the key '{}' from {from} to {to} is refused: {text}",
            key.escape_ascii()
        ))
    }
}

/// Servers before 7.0 do not.
fn tells_expiry(peer: &mut Peer) -> Result<bool, Failure> {
    let question = [vec![b"PEXPIRETIME".to_vec(), b"no such key".to_vec()]];
    let answer = peer.ask(&question)?.pop();
    Ok(matches!(answer, Some(Response::Int(_))))
}

fn restore(key: &[u8], ttl_ms: i64, absolute: bool, payload: &[u8]) -> Words {
    let ttl = match ttl_ms {
        // None.
        ..0 => 0,
        // It expires this very moment; 0 would keep it for ever.
        0 => 1,
        ttl => ttl,
    };
    let mut words = vec![
        b"RESTORE".to_vec(),
        key.to_vec(),
        ttl.to_string().into_bytes(),
        payload.to_vec(),
        b"REPLACE".to_vec(),
    ];
    if absolute {
        words.push(b"ABSTTL".to_vec());
    }
    words
}

/// The next cursor, and the keys.
fn page(reply: Response) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let Response::Array(parts) = reply else {
        return None;
    };
    let mut parts = parts.into_iter();
    let (Some(Response::Bulk(cursor)), Some(Response::Array(keys))) = (parts.next(), parts.next())
    else {
        return None;
    };
    let keys = keys.into_iter().map(|key| match key {
        Response::Bulk(key) => Some(key),
        _ => None,
    });
    Some((cursor, keys.collect::<Option<_>>()?))
}

/// The note of how far an import is.
struct State {
    path: PathBuf,
    source: String,
}

impl State {
    /// The place of an earlier import from the same source.
    fn read(&self) -> Result<Option<Place>, Failure> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::at(&self.path)(error)),
        };
        Ok(self.parse(&text))
    }

    fn parse(&self, text: &str) -> Option<Place> {
        let (source, cursor) = (field(text, "source")?, field(text, "cursor")?);
        let db = field(text, "database")?.parse().ok()?;
        (source == without_login(&self.source)).then(|| Place {
            db,
            cursor: cursor.as_bytes().to_vec(),
        })
    }

    /// What it says has happened is on disk already.
    fn write(&self, place: &Place) -> Result<(), Failure> {
        let text = format!(
            "source:{}\ndatabase:{}\ncursor:{}\n",
            without_login(&self.source),
            place.db,
            String::from_utf8_lossy(&place.cursor)
        );
        let temporary = self.path.with_extension("new");
        std::fs::write(&temporary, text)
            .and_then(|()| std::fs::rename(&temporary, &self.path))
            .map_err(Failure::at(&self.path))
    }

    fn remove(&self) -> Result<(), Failure> {
        std::fs::remove_file(&self.path).map_err(Failure::at(&self.path))
    }
}

/// Passwords are not written down.
fn without_login(source: &str) -> &str {
    source.rsplit_once('@').map_or(source, |(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_of_one_source_and_holds_no_password() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = |source: &str| State {
            path: directory.path().join(STATE),
            source: source.to_owned(),
        };
        let place = Place {
            db: 3,
            cursor: b"12345".to_vec(),
        };
        assert_eq!(state("redis://a").read().expect("it may be missing"), None);
        state("redis://ada:secret@a:1")
            .write(&place)
            .expect("there is room");
        let text = std::fs::read_to_string(directory.path().join(STATE)).expect("it is there");
        assert!(!text.contains("secret"));
        let again = state("redis://ada:other@a:1").read().expect("it is there");
        assert_eq!(again, Some(place));
        assert_eq!(state("redis://b:1").read().expect("it is there"), None);
    }

    #[test]
    fn an_expiry_survives_and_none_stays_none() {
        let ttl = |ttl_ms| restore(b"k", ttl_ms, false, b"p").get(2).cloned();
        assert_eq!(ttl(-1), Some(b"0".to_vec()));
        assert_eq!(ttl(0), Some(b"1".to_vec()));
        assert_eq!(ttl(500), Some(b"500".to_vec()));
    }
}
