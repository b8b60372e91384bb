//! Two servers side by side, with the same connections to each: a step is done on both, and what differs is told.

use std::io;

use innkeep_test_server::{Launch, Server};

use crate::compare::{agree, fault_of_choice, flat, frames_agree, near, same_members};
use crate::grammar::{Command, Compare};
use crate::reasons::has;
use innkeep_test_server::wire::{Body, Reply, Wire};

/// What the connections are for. Commands come from any of the first three.
pub(crate) const COMMON: usize = 3;
const SUBSCRIBER: usize = 3;
pub(crate) const SUBSCRIBERS: usize = 2;
const WAITER: usize = 5;
pub(crate) const WAITERS: usize = 2;
const WAKER: usize = 7;
pub(crate) const OBSERVER: usize = 8;
/// The clients of a play.
pub(crate) const PLAYER: usize = 9;
pub(crate) const PLAYERS: usize = 4;
/// Hears of every change of a key.
pub(crate) const LISTENER: usize = 13;
/// Sees every command.
pub(crate) const MONITOR: usize = 14;
const CONNECTIONS: usize = 15;

/// Every second connection speaks RESP3; the observer and those who only listen speak RESP2.
fn speaks_resp3(connection: usize) -> bool {
    connection % 2 == 1 && connection != WAKER && connection < LISTENER
}

/// Settings that Redis 7.0 does not have.
const NEWER_SETTINGS: &[&str] = &["set-max-listpack-entries"];

/// How often a state is asked for that another connection brings about.
const PATIENCE: usize = 100_000;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Commands in one piece from one connection.
    Batch(usize, Vec<Command>),
    /// What a subscriber does.
    Subscriber(usize, Command),
    /// A message, and what the subscribers get.
    Publish(Command),
    /// Commands that wait, the commands that may wake them, and then an end to all waiting.
    Wait(Vec<Command>, Vec<Command>),
    /// Clients that come one after the other, wait, wake, pause and kill each other.
    Play(Vec<(usize, Command)>),
    /// Keys of this connection's database run out, time passes, and then these commands find out.
    Lapse(usize, Vec<Command>, Vec<Command>),
    /// Bytes to a connection of their own, up to its end.
    Raw(Vec<u8>),
    /// All data of both servers is compared, perhaps without the contents of streams.
    Data(bool),
    /// What both servers tell of themselves is compared.
    Information,
}

/// What differs, in words, or why that could not be told.
pub(crate) type Outcome = Result<(), String>;

pub(crate) fn because(error: &io::Error) -> String {
    format!("a server does not answer: {error}")
}

/// One server and the connections to it.
#[derive(Debug)]
pub(crate) struct Side {
    launch: Launch,
    server: Server,
    /// Where MIGRATE moves keys to.
    pub(crate) neighbour: Server,
    pub(crate) wires: Vec<Wire>,
    pub(crate) ids: Vec<i64>,
    pub(crate) addresses: Vec<String>,
}

impl Side {
    fn start(launch: Launch) -> io::Result<Self> {
        Ok(Self {
            server: launch.clone().start()?,
            neighbour: launch.clone().start()?,
            launch,
            wires: Vec::new(),
            ids: Vec::new(),
            addresses: Vec::new(),
        })
    }

    /// Empties the server, which is started anew if it no longer runs, and opens new connections.
    fn reset(&mut self, settings: &[(&str, &str)]) -> io::Result<()> {
        self.wires.clear();
        if self.empty(settings).is_err() {
            self.server = self.launch.clone().start()?;
            self.empty(settings)?;
        }
        self.ids.clear();
        self.addresses.clear();
        for connection in 0..CONNECTIONS {
            let (wire, id, address) = self.connect(connection)?;
            self.wires.push(wire);
            self.ids.push(id);
            self.addresses.push(address);
        }
        // Only now, so that nothing above counts.
        self.wires[OBSERVER].ask(&["CONFIG", "RESETSTAT"])?;
        self.wires[LISTENER].ask(&["PSUBSCRIBE", "__key*__:*"])?;
        self.wires[MONITOR].ask(&["MONITOR"]).map(drop)
    }

    fn connect(&self, connection: usize) -> io::Result<(Wire, i64, String)> {
        let stream = self.server.connect()?;
        let address = stream.local_addr()?.to_string();
        let mut wire = Wire::new(stream);
        wire.ask(&["HELLO", if speaks_resp3(connection) { "3" } else { "2" }])?;
        let id = wire.ask(&["CLIENT", "ID"])?.int().unwrap_or_default();
        Ok((wire, id, address))
    }

    /// Another client in the place of one that is gone.
    pub(crate) fn replace(&mut self, connection: usize) -> io::Result<()> {
        let (wire, id, address) = self.connect(connection)?;
        self.wires[connection] = wire;
        self.ids[connection] = id;
        self.addresses[connection] = address;
        Ok(())
    }

    fn empty(&self, settings: &[(&str, &str)]) -> io::Result<()> {
        let mut wire = Wire::new(self.server.connect()?);
        // The end of the old connections is noticed some time after they were closed.
        let alone = |clients: &Reply| {
            clients
                .bytes()
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .count()
                == 1
        };
        until(|| Ok(alone(&wire.ask(&["CLIENT", "LIST"])?)))?;
        wire.ask(&["FLUSHALL"])?;
        wire.ask(&["FUNCTION", "FLUSH"])?;
        wire.ask(&["SCRIPT", "FLUSH"])?;
        wire.ask(&["ACL", "DELUSER", "u1", "u2", "u3"])?;
        wire.ask(&["ACL", "LOG", "RESET"])?;
        let mut neighbour = Wire::new(self.neighbour.connect()?);
        neighbour.ask(&["FLUSHALL"])?;
        neighbour.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"])?;
        // When an expired key is found in the background is each server's own affair; DBSIZE would show it.
        wire.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"])?;
        for (name, value) in settings {
            let answer = wire.ask(&["CONFIG", "SET", name, value])?;
            let is_newer = answer.is_error() && NEWER_SETTINGS.contains(name);
            if answer.is_error() && !is_newer {
                return Err(io::Error::other(format!(
                    "CONFIG SET {name} {value}: {answer:?}"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn ask(&mut self, connection: usize, command: &Command) -> io::Result<Reply> {
        self.send(connection, command)?;
        self.wires[connection].receive()
    }

    /// Sends a command in the words of this server.
    pub(crate) fn send(&mut self, connection: usize, command: &Command) -> io::Result<()> {
        let words = self.words(command);
        self.wires[connection].send([words.as_slice()])
    }

    /// The words of a command; those that name a player or a subscriber stand for what this server knows of its client,
    /// and `@m` for the port of its neighbour.
    fn words(&self, command: &Command) -> Vec<Vec<u8>> {
        let known = |word: &[u8]| match word {
            b"@m" => self.neighbour.port().to_string().into_bytes(),
            [b'@', b's', digit @ b'0'..=b'9'] => {
                let subscriber = SUBSCRIBER + usize::from(digit - b'0');
                self.ids[subscriber].to_string().into_bytes()
            }
            [b'@', kind, digit @ b'0'..=b'9'] => {
                let player = PLAYER + usize::from(digit - b'0');
                match kind {
                    b'i' => self.ids[player].to_string().into_bytes(),
                    _ => self.addresses[player].clone().into_bytes(),
                }
            }
            word => word.to_vec(),
        };
        command.arguments.iter().map(|word| known(word)).collect()
    }

    /// A line of MONITOR in the words that both servers share: the reverse of [`Self::words`], but for players.
    pub(crate) fn without_own(&self, line: String) -> String {
        let port = format!("\"{}\"", self.neighbour.port());
        let subscribers = self.ids.iter().skip(SUBSCRIBER).take(SUBSCRIBERS);
        let line = line.replace(&port, "@m");
        if !line.to_ascii_uppercase().contains("\"REDIRECT\"") {
            return line;
        }
        subscribers.fold(line, |line, id| line.replace(&format!("\"{id}\""), "@s"))
    }

    /// Puts a name in the place of the numbers of the subscribers, which each server gives as it likes.
    fn name_subscribers(&self, frame: &mut Reply) {
        let subscribers = self.ids.iter().skip(SUBSCRIBER).take(SUBSCRIBERS);
        match &mut frame.body {
            Body::Items(items) => items
                .iter_mut()
                .for_each(|item| self.name_subscribers(item)),
            Body::Line(number) if frame.kind == b':' => {
                let texts = subscribers.map(|id| id.to_string().into_bytes());
                if let Some(at) = texts
                    .enumerate()
                    .find_map(|(at, id)| (id == *number).then_some(at))
                {
                    *number = format!("@s{at}").into_bytes();
                }
            }
            Body::Line(_) | Body::Bytes(_) | Body::Nothing => {}
        }
    }

    /// All that comes until the answer to a PING sent now.
    pub(crate) fn drain(&mut self, connection: usize) -> io::Result<Vec<Reply>> {
        const MARK: &str = "all that came before";
        let wire = &mut self.wires[connection];
        wire.send([Command::new(&["PING", MARK], Compare::Exact)
            .arguments
            .as_slice()])?;
        let mut frames = Vec::new();
        loop {
            let frame = wire.receive()?;
            // `+pong` and the text where a RESP2 connection is subscribed.
            if flat(&frame)
                .last()
                .is_some_and(|last| *last == MARK.as_bytes())
                && frame.items().len() != 3
            {
                return Ok(frames);
            }
            frames.push(frame);
        }
    }

    /// Waits until the server has begun with what this waiter has sent.
    fn begun(&mut self, waiter: usize, command: &Command) -> io::Result<()> {
        let id = self.ids[WAITER + waiter].to_string();
        let name = String::from_utf8_lossy(&command.arguments[0]).to_ascii_lowercase();
        let shown = format!(" cmd={name} ");
        let observer = &mut self.wires[OBSERVER];
        until(|| {
            Ok(
                String::from_utf8_lossy(observer.ask(&["CLIENT", "LIST", "ID", &id])?.bytes())
                    .contains(&shown),
            )
        })
    }
}

pub(crate) fn until(mut reached: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    for _ in 0..PATIENCE {
        if reached()? {
            return Ok(());
        }
        std::thread::yield_now();
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "a state was not reached",
    ))
}

/// The server under test and the reference.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) ours: Side,
    pub(crate) theirs: Side,
    /// Whether events and what MONITOR shows are compared, too.
    listens: bool,
    /// How the replies to the queued commands of each connection's transaction will be compared.
    pub(crate) queued: Vec<Option<Vec<Compare>>>,
}

impl Pair {
    pub(crate) fn start(ours: Launch, theirs: Launch, listens: bool) -> io::Result<Self> {
        Ok(Self {
            listens,
            ours: Side::start(ours)?,
            theirs: Side::start(theirs)?,
            queued: Vec::new(),
        })
    }

    /// Both servers empty, with these settings, and all connections new.
    pub(crate) fn reset(&mut self, settings: &[(&str, &str)]) -> io::Result<()> {
        self.queued = vec![None; CONNECTIONS];
        self.ours.reset(settings)?;
        self.theirs.reset(settings)
    }

    /// Does a step on both servers. A panic in our server's log is told, too.
    pub(crate) fn step(&mut self, step: &Step) -> Outcome {
        self.try_step(step).map_err(|what| {
            let log = self.ours.server.log();
            let lines: Vec<&str> = log.lines().collect();
            let panics = lines.iter().position(|line| line.contains("panicked"));
            match panics {
                Some(at) => format!("{what}\n{}", lines[at..lines.len().min(at + 12)].join("\n")),
                None => what,
            }
        })
    }

    fn try_step(&mut self, step: &Step) -> Outcome {
        self.act(step)?;
        if self.listens {
            crate::listeners::compare(self, step)?;
        }
        Ok(())
    }

    fn act(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Batch(connection, commands) => self.batch(*connection, commands),
            Step::Subscriber(subscriber, command) => {
                self.subscriber(SUBSCRIBER + subscriber, command)
            }
            Step::Publish(command) => self.publish(command),
            Step::Wait(waiters, wakers) => self.wait(waiters, wakers),
            Step::Play(acts) => crate::plays::play(self, acts),
            Step::Lapse(connection, lapses, commands) => self.lapse(*connection, lapses, commands),
            Step::Raw(bytes) => self.raw(bytes),
            Step::Data(with_streams) => crate::data::compare(self, *with_streams),
            Step::Information => crate::information::compare(self),
        }
    }

    /// At the end nothing is left that has run out and that nobody has looked at: whether a random choice or a part of
    /// an iteration meets it is chance.
    fn lapse(&mut self, connection: usize, lapses: &[Command], commands: &[Command]) -> Outcome {
        if self.queued[connection].is_some() {
            return Ok(());
        }
        self.together(connection, lapses)?;
        let pause = Command::new(&["DEBUG", "SLEEP", "0.004"], Compare::Exact);
        self.same(WAKER, &pause)?;
        self.batch(connection, commands)?;
        let mut look = Command::new(&["EXISTS"], Compare::Exact);
        look.arguments
            .extend(lapses.iter().map(|lapse| lapse.key().to_vec()));
        self.same(connection, &look).map(drop)
    }

    fn raw(&mut self, bytes: &[u8]) -> Outcome {
        let mut answers = Vec::new();
        for side in [&self.ours, &self.theirs] {
            let stream = side.server.connect().map_err(|error| because(&error))?;
            let answer = Wire::new(stream).exchange_all(bytes);
            answers.push(answer.map_err(|error| because(&error))?);
        }
        if answers[0] == answers[1] {
            return Ok(());
        }
        let (ours, theirs) = (answers[0].escape_ascii(), answers[1].escape_ascii());
        Err(format!(
            "the bytes {}\n  ours:   {ours}\n  theirs: {theirs}",
            bytes.escape_ascii()
        ))
    }

    /// The same command to both.
    pub(crate) fn ask(
        &mut self,
        connection: usize,
        command: &Command,
    ) -> Result<(Reply, Reply), String> {
        let ours = self
            .ours
            .ask(connection, command)
            .map_err(|error| because(&error))?;
        let theirs = self
            .theirs
            .ask(connection, command)
            .map_err(|error| format!("the reference fails: {error}"))?;
        Ok((ours, theirs))
    }

    /// The same command to both, answered the same.
    pub(crate) fn same(&mut self, connection: usize, command: &Command) -> Result<Reply, String> {
        let (ours, theirs) = self.ask(connection, command)?;
        judge(
            command,
            agree(command.compare, &ours, &theirs),
            &ours,
            &theirs,
        )?;
        Ok(theirs)
    }

    fn batch(&mut self, connection: usize, commands: &[Command]) -> Outcome {
        let mut rest = commands;
        while let Some(first) = rest.first() {
            if is_alone(first) {
                self.alone(connection, first)?;
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(is_alone).unwrap_or(rest.len());
            let (together, others) = rest.split_at(end);
            self.together(connection, together)?;
            rest = others;
        }
        Ok(())
    }

    fn together(&mut self, connection: usize, commands: &[Command]) -> Outcome {
        for side in [&mut self.ours, &mut self.theirs] {
            let words: Vec<_> = commands.iter().map(|command| side.words(command)).collect();
            side.wires[connection]
                .send(words.iter().map(Vec::as_slice))
                .map_err(|error| because(&error))?;
        }
        for command in commands {
            let ours = self.ours.wires[connection].receive();
            let ours = ours.map_err(|error| format!("{command:?}: {}", because(&error)))?;
            let theirs = self.theirs.wires[connection]
                .receive()
                .map_err(|error| because(&error))?;
            let agreed = self.agree(connection, command, &ours, &theirs);
            judge(command, agreed, &ours, &theirs)?;
        }
        Ok(())
    }

    /// Whether two replies agree, with the state of the connection's transaction in mind, which they change.
    pub(crate) fn agree(
        &mut self,
        connection: usize,
        command: &Command,
        ours: &Reply,
        theirs: &Reply,
    ) -> bool {
        let queued = &mut self.queued[connection];
        if let Some(queued) = queued.as_mut().filter(|_| theirs.is_status("QUEUED")) {
            queued.push(command.compare);
            return ours == theirs;
        }
        if theirs.bytes().starts_with(b"EXECABORT") {
            *queued = None;
        }
        let is_bare = command.arguments.len() == 1;
        if is_bare && command.is("MULTI") && theirs.is_status("OK") {
            *queued = Some(Vec::new());
        } else if is_bare && (command.is("EXEC") || command.is("DISCARD") || command.is("RESET")) {
            let compares = queued.take().unwrap_or_default();
            let (ours, theirs) = (ours.items(), theirs.items());
            if command.is("EXEC")
                && !theirs.is_empty()
                && compares.len() == theirs.len()
                && ours.len() == theirs.len()
            {
                let pairs = ours.iter().zip(theirs).zip(compares);
                return pairs
                    .into_iter()
                    .all(|((ours, theirs), compare)| agree(compare, ours, theirs));
            }
        }
        agree(command.compare, ours, theirs)
    }

    /// A command whose reply is judged by what the server holds at that moment.
    fn alone(&mut self, connection: usize, command: &Command) -> Outcome {
        if is_sort(command) {
            // Redis forgets to clear C's errno before it reads weights: ZADD clears what an earlier number left there.
            let clear = Command::new(&["ZADD", "nothing", "XX", "0", "x"], Compare::Exact);
            self.together(connection, &[clear])?;
        }
        if self.queued[connection].is_some() {
            // What a transaction removes by chance cannot be put right between its commands.
            return if command.compare == Compare::Removal {
                Ok(())
            } else {
                self.together(connection, std::slice::from_ref(command))
            };
        }
        match command.compare {
            Compare::Choice => self.choice(connection, command),
            Compare::Removal => self.removal(connection, command),
            Compare::AnyKey => self.any_key(connection, command),
            Compare::Iteration => self.iteration(connection, command),
            Compare::Clients | Compare::Value => self.same(connection, command).map(drop),
            _ => self.unordered(connection, command),
        }
    }

    fn choice(&mut self, connection: usize, command: &Command) -> Outcome {
        let everything = match () {
            () if command.is("HRANDFIELD") => "HGETALL",
            () if command.is("ZRANDMEMBER") => "ZRANGE",
            () => "SMEMBERS",
        };
        let mut everything = Command::new(&[everything], Compare::Exact);
        everything.arguments.push(command.key().to_vec());
        if everything.is("ZRANGE") {
            everything
                .arguments
                .extend(["0", "-1", "WITHSCORES"].map(|word| word.as_bytes().to_vec()));
        }
        let (_, all) = self.ask(connection, &everything)?;
        let (ours, theirs) = self.ask(connection, command)?;
        judge(
            command,
            agree(command.compare, &ours, &theirs),
            &ours,
            &theirs,
        )?;
        if ours.is_error() || command.arguments.len() < 2 {
            return Ok(());
        }
        match fault_of_choice(command, &ours, &all) {
            Some(fault) => Err(format!(
                "{command:?}: {fault}\n  ours:   {ours:?}\n  of:     {all:?}"
            )),
            None => Ok(()),
        }
    }

    /// After a removal by chance the key is removed whole, on both servers, so that they hold the same again.
    fn removal(&mut self, connection: usize, command: &Command) -> Outcome {
        self.choice(connection, command)?;
        let key = command.key();
        if key.is_empty() {
            return Ok(());
        }
        for name in ["SCARD", "DEL"] {
            let check = Command {
                arguments: vec![name.into(), key.to_vec()],
                compare: Compare::Exact,
            };
            self.same(connection, &check)?;
        }
        Ok(())
    }

    fn any_key(&mut self, connection: usize, command: &Command) -> Outcome {
        let (ours, theirs) = self.ask(connection, command)?;
        judge(
            command,
            agree(command.compare, &ours, &theirs),
            &ours,
            &theirs,
        )?;
        if ours.kind == b'$' && !ours.bytes().is_empty() {
            let exists = Command {
                arguments: vec![b"EXISTS".to_vec(), ours.bytes().to_vec()],
                compare: Compare::Exact,
            };
            let (found, _) = self.ask(connection, &exists)?;
            judge(command, found.int() == Some(1), &ours, &theirs)?;
        }
        Ok(())
    }

    fn iteration(&mut self, connection: usize, command: &Command) -> Outcome {
        let at = if command.is("SCAN") { 1 } else { 2 };
        let (first_ours, first_theirs) = self.ask(connection, command)?;
        if first_ours.is_error()
            || first_theirs.is_error()
            || command
                .arguments
                .get(at)
                .is_none_or(|cursor| cursor != b"0")
        {
            return judge(
                command,
                agree(Compare::Errors, &first_ours, &first_theirs),
                &first_ours,
                &first_theirs,
            );
        }
        let ours = walk(&mut self.ours, connection, command, at, first_ours)
            .map_err(|error| because(&error))?;
        let theirs = walk(&mut self.theirs, connection, command, at, first_theirs)
            .map_err(|error| because(&error))?;
        if ours == theirs {
            return Ok(());
        }
        Err(format!(
            "{command:?}, walked to the end\n  ours:   {ours:?}\n  theirs: {theirs:?}"
        ))
    }

    /// The order of a compact form is defined, that of a large one is not.
    fn unordered(&mut self, connection: usize, command: &Command) -> Outcome {
        let (ours, theirs) = self.ask(connection, command)?;
        // BY a pattern without a star sorts nothing.
        let may_sort_nothing = is_sort(command) && has(&command.arguments, "BY");
        let compare = match command.compare {
            Compare::Exact if may_sort_nothing => Compare::Unordered,
            compare => compare,
        };
        judge(command, agree(compare, &ours, &theirs), &ours, &theirs)?;
        if ours != theirs {
            let arguments = vec![
                b"OBJECT".to_vec(),
                b"ENCODING".to_vec(),
                command.key().to_vec(),
            ];
            let encoding = self.same(
                connection,
                &Command {
                    arguments,
                    compare: Compare::Exact,
                },
            )?;
            // SORT takes the members of a sorted set as its table has them.
            let of_table = is_sort(command) && encoding.bytes() == b"skiplist";
            let free = of_table || encoding.bytes() == b"hashtable";
            judge(command, free, &ours, &theirs)?;
        }
        Ok(())
    }

    fn subscriber(&mut self, connection: usize, command: &Command) -> Outcome {
        let mut frames = Vec::new();
        for side in [&mut self.ours, &mut self.theirs] {
            side.send(connection, command)
                .map_err(|error| because(&error))?;
            let mut heard = Vec::new();
            // What its own command has to tell it comes behind the mark, if both were read at once.
            for _ in 0..2 {
                let frames = side.drain(connection);
                heard.extend(frames.map_err(|error| format!("{command:?}: {}", because(&error)))?);
            }
            if command.is("CLIENT") {
                heard
                    .iter_mut()
                    .for_each(|frame| side.name_subscribers(frame));
            }
            frames.push(heard);
        }
        judge_frames(command, connection, &frames)
    }

    fn publish(&mut self, command: &Command) -> Outcome {
        self.same(WAKER, command)?;
        for connection in SUBSCRIBER..SUBSCRIBER + SUBSCRIBERS {
            let mut frames = Vec::new();
            for side in [&mut self.ours, &mut self.theirs] {
                frames.push(
                    side.drain(connection)
                        .map_err(|error| format!("{command:?}: {}", because(&error)))?,
                );
            }
            judge_frames(command, connection, &frames)?;
        }
        Ok(())
    }

    fn wait(&mut self, waiters: &[Command], wakers: &[Command]) -> Outcome {
        for (at, waiter) in waiters.iter().enumerate() {
            self.same(WAITER + at, &Command::new(&["PING"], Compare::Exact))?;
            for side in [&mut self.ours, &mut self.theirs] {
                side.wires[WAITER + at]
                    .send([waiter.arguments.as_slice()])
                    .map_err(|error| because(&error))?;
                side.begun(at, waiter)
                    .map_err(|error| format!("{waiter:?}: {}", because(&error)))?;
            }
        }
        for waker in wakers {
            self.same(WAKER, waker)?;
        }
        for (at, waiter) in waiters.iter().enumerate() {
            let mut answers = Vec::new();
            for side in [&mut self.ours, &mut self.theirs] {
                let id = side.ids[WAITER + at].to_string();
                let unblocked = side.wires[OBSERVER]
                    .ask(&["CLIENT", "UNBLOCK", &id])
                    .map_err(|error| because(&error))?;
                let reply = side.wires[WAITER + at]
                    .receive()
                    .map_err(|error| format!("{waiter:?}: {}", because(&error)))?;
                answers.push((reply, unblocked));
            }
            if answers[0] != answers[1] {
                return Err(format!(
                    "{waiter:?}, its reply and CLIENT UNBLOCK's\n  ours:   {:?}\n  theirs: {:?}",
                    answers[0], answers[1]
                ));
            }
        }
        Ok(())
    }
}

fn is_alone(command: &Command) -> bool {
    match command.compare {
        Compare::Choice
        | Compare::Removal
        | Compare::AnyKey
        | Compare::Iteration
        | Compare::UnorderedPairs
        | Compare::Clients
        | Compare::Value => true,
        Compare::Unordered if is_sort(command) => true,
        Compare::Unordered => ["SMEMBERS", "HKEYS", "HVALS"]
            .iter()
            .any(|name| command.is(name)),
        Compare::Exact
        | Compare::Near(_)
        | Compare::Clocked(_)
        | Compare::Shape
        | Compare::Errors => is_sort(command),
    }
}

fn is_sort(command: &Command) -> bool {
    command.is("SORT") || command.is("SORT_RO")
}

pub(crate) fn judge(command: &Command, agreed: bool, ours: &Reply, theirs: &Reply) -> Outcome {
    if agreed {
        Ok(())
    } else {
        Err(format!(
            "{command:?}\n  ours:   {ours:?}\n  theirs: {theirs:?}"
        ))
    }
}

fn judge_frames(command: &Command, connection: usize, frames: &[Vec<Reply>]) -> Outcome {
    if frames_agree(&frames[0], &frames[1]) {
        return Ok(());
    }
    let (ours, theirs) = (&frames[0], &frames[1]);
    Err(format!(
        "{command:?}, as connection {connection} hears it\n  ours:   {ours:?}\n  theirs: {theirs:?}"
    ))
}

/// Everything that an iteration returns from its first reply to its last, in order and without doubles.
fn walk(
    side: &mut Side,
    connection: usize,
    command: &Command,
    at: usize,
    first: Reply,
) -> io::Result<Vec<Vec<Reply>>> {
    let width = if command.is("HSCAN") || command.is("ZSCAN") {
        2
    } else {
        1
    };
    let mut command = command.clone();
    let mut found = Vec::new();
    let mut reply = first;
    for _ in 0..PATIENCE {
        let [cursor, page] = reply.items() else {
            return Err(io::Error::other(format!("{command:?} answers {reply:?}")));
        };
        found.extend(page.items().chunks(width).map(<[Reply]>::to_vec));
        if cursor.bytes() == b"0" {
            found.sort();
            found.dedup();
            return Ok(found);
        }
        command.arguments[at] = cursor.bytes().to_vec();
        reply = side.ask(connection, &command)?;
    }
    Err(io::Error::other(format!(
        "{command:?} does not come to an end"
    )))
}

/// The tests of the comparison are the comparison of a real server with itself; these lines keep its parts honest.
#[cfg(test)]
mod honesty {
    use super::*;

    #[test]
    fn the_reference_is_not_taken_for_another() {
        let int = |value: &str| Reply {
            kind: b':',
            body: innkeep_test_server::wire::Body::Line(value.as_bytes().to_vec()),
        };
        assert!(
            near(&int("5"), &int("7"), 2)
                && !near(&int("-1"), &int("0"), 2)
                && !near(&int("1"), &int("9"), 2)
        );
        let array = |items: &[&str]| Reply {
            kind: b'*',
            body: innkeep_test_server::wire::Body::Items(
                items.iter().map(|item| int(item)).collect(),
            ),
        };
        assert!(same_members(&array(&["1", "2"]), &array(&["2", "1"]), 1));
        assert!(!same_members(&array(&["1", "2"]), &array(&["2", "1"]), 2));
        assert!(!agree(
            Compare::Exact,
            &array(&["1", "2"]),
            &array(&["2", "1"])
        ));
    }
}
