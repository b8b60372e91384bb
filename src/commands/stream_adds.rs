//! Streams: adding entries and trimming old ones. What is logged names the id that was given and how much was trimmed
//! in fact, so that loading it does the same again.

use super::spec::{CommandSpec, Flags, KeySpec, one_key};
use super::stream_deletes::references_at;
use super::streams::{bulk_id, new_id, strict_id};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::EventClass;
use crate::value::number::parse_i64;
use crate::value::stream::{IdText, References, Stream, StreamId, Trim, TrimTo};

const TRIM_OPTIONS: &str = "Added the `KEEPREF`, `DELREF` and `ACKED` options.";

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 nomkstream:pure-token=NOMKSTREAM?@6.2.0 condition:oneof?{keepref:pure-token=KEEPREF delref:pure-token=DELREF acked:pure-token=ACKED} trim:block?{strategy:oneof{maxlen:pure-token=MAXLEN minid:pure-token=MINID@6.2.0} operator:oneof?{equal:pure-token== approximately:pure-token=~} threshold:string count:integer=LIMIT?@6.2.0} id_or_auto:oneof{auto_id:pure-token=* id:string} field_value:block*{field:string value:string}",
        acl: "write stream fast",
        keys: &[KeySpec {
            notes: "UPDATE instead of INSERT because of the optional trimming feature",
            ..one_key("RW update")
        }],
        group: "stream",
        since: "5.0.0",
        summary: "Appends a new entry to a stream",
        complexity: "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
        tips: "nondeterministic_output",
        history: &[
            (
                "6.2.0",
                "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option.",
            ),
            ("7.0.0", "Added support for the `<ms>-*` explicit ID form."),
            ("8.2.0", TRIM_OPTIONS),
        ],
        ..CommandSpec::new(
            "xadd",
            -5,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            xadd,
        )
    },
    CommandSpec {
        arguments: "key:key#0 trim:block{strategy:oneof{maxlen:pure-token=MAXLEN minid:pure-token=MINID@6.2.0} operator:oneof?{equal:pure-token== approximately:pure-token=~} threshold:string count:integer=LIMIT?@6.2.0 condition:oneof?{keepref:pure-token=KEEPREF delref:pure-token=DELREF acked:pure-token=ACKED}}",
        acl: "write stream slow",
        keys: &[one_key("RW delete")],
        group: "stream",
        since: "5.0.0",
        summary: "Trims the stream to (approximately if '~' is passed) a certain size",
        complexity: "O(N), with N being the number of evicted entries. Constant times are very small however, since entries are organized in macro nodes containing multiple entries that can be released with a single deallocation.",
        tips: "nondeterministic_output",
        history: &[
            (
                "6.2.0",
                "Added the `MINID` trimming strategy and the `LIMIT` option.",
            ),
            ("8.2.0", TRIM_OPTIONS),
        ],
        ..CommandSpec::new("xtrim", -4, Flags::WRITE, xtrim)
    },
];

/// The largest number of entries that an approximate trim removes unless LIMIT allows for more, and what it is where
/// nodes have no limit.
const MOST_TRIMMED: u64 = 1_000_000;
const TRIMMED_BY_DEFAULT: u64 = 10_000;
/// The default is so many nodes full of entries.
const NODES_TRIMMED: u64 = 100;
/// More bytes do not go into one listpack.
const MAX_ENTRY_BYTES: usize = 1 << 30;

const TOO_LARGE: CommandError = CommandError::text("ERR Elements are too large to be stored");
const NOT_ABOVE: CommandError = CommandError::text(
    "ERR The ID specified in XADD is equal or smaller than the target stream top item",
);

/// The words that XADD and XTRIM share.
#[derive(Default)]
struct Options {
    to: Option<TrimTo>,
    approximate: bool,
    limit: Option<u64>,
    /// Where the threshold stands; `~` stands before it if it is approximate.
    threshold_at: usize,
    no_make: bool,
    references: Option<References>,
    /// The position of the first word that is no option: XADD's id.
    end: usize,
}

fn positive(word: &[u8], refusal: &'static str) -> Result<u64, CommandError> {
    let number = parse_i64(word).ok_or(CommandError::NotInteger)?;
    u64::try_from(number).map_err(|_| CommandError::text(refusal))
}

impl Options {
    fn parse(context: &Context<'_, '_>, adding: bool) -> Result<Self, CommandError> {
        let mut options = Self {
            end: 2,
            ..Self::default()
        };
        while let Some(word) = context.args.get(options.end) {
            let at = options.end;
            let more = context.args.len() - 1 - at;
            if adding && *word == b"*" {
                break;
            } else if more > 0 && (context.is(at, "maxlen") || context.is(at, "minid")) {
                options.strategy(context, more)?;
            } else if more > 0 && context.is(at, "limit") {
                let refusal = "ERR The LIMIT argument must be >= 0.";
                options.limit = Some(positive(context.args[at + 1], refusal)?);
                options.end += 2;
            } else if adding && context.is(at, "nomkstream") {
                options.no_make = true;
                options.end += 1;
            } else if options.references.is_none()
                && let Some(references) = references_at(context, at)
            {
                options.references = Some(references);
                options.end += 1;
            } else if adding {
                break;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    fn strategy(&mut self, context: &Context<'_, '_>, more: usize) -> Result<(), CommandError> {
        if self.to.is_some() {
            return Err(CommandError::text(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let at = self.end;
        let operator = more >= 2 && matches!(context.args[at + 1], b"~" | b"=");
        self.approximate = operator && context.args[at + 1] == b"~";
        self.threshold_at = if operator { at + 2 } else { at + 1 };
        let word = context.args[self.threshold_at];
        self.to = Some(if context.is(at, "maxlen") {
            TrimTo::Length(positive(word, "ERR The MAXLEN argument must be >= 0.")?)
        } else {
            TrimTo::MinId(strict_id(word, 0)?)
        });
        self.end = self.threshold_at + 1;
        Ok(())
    }

    /// What the words mean together; nothing where nothing is to be trimmed.
    fn trim(&self, context: &Context<'_, '_>, adding: bool) -> Result<Option<Trim>, CommandError> {
        if self.limit.is_some_and(|limit| limit > 0) && self.to.is_none() {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if !adding && self.to.is_none() {
            return Err(CommandError::text(
                "ERR syntax error, XTRIM must be called with a trimming strategy",
            ));
        }
        // The log has exact trims that were limited: the limit is over when they are loaded.
        if self.limit.is_some() && !self.approximate && !context.mode.loading {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        let limit = match self.limit {
            _ if !self.approximate => 0,
            Some(limit) => limit,
            None => match context.txn.limits().stream.max_node_entries as u64 {
                0 => TRIMMED_BY_DEFAULT,
                entries => entries.saturating_mul(NODES_TRIMMED).min(MOST_TRIMMED),
            },
        };
        Ok(self.to.map(|to| Trim {
            to,
            approximate: self.approximate,
            limit,
            references: self.references.unwrap_or(References::Kept),
        }))
    }

    /// The threshold that trims exactly as much as was trimmed.
    fn exact_threshold(&self, stream: &Stream) -> Vec<u8> {
        match self.to {
            Some(TrimTo::MinId(_)) => stream.state().first_id.to_text().to_vec(),
            _ => stream.len().to_string().into_bytes(),
        }
    }

    /// The words with an approximate trim made exact.
    fn exact_words<'a>(&self, args: &[&'a [u8]], threshold: &'a [u8]) -> Vec<&'a [u8]> {
        let mut words = args.to_vec();
        if self.approximate {
            words[self.threshold_at - 1] = b"=";
            words[self.threshold_at] = threshold;
        }
        words
    }
}

/// The id of the next entry of a stream.
fn next_id(last: StreamId, wanted: Option<IdText>, now_ms: i64) -> Result<StreamId, CommandError> {
    if last == StreamId::MAX {
        return Err(CommandError::text(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let now_ms = now_ms.max(0).unsigned_abs();
    let id = match wanted {
        None if now_ms > last.ms => StreamId::new(now_ms, 0),
        None => last.next().ok_or(NOT_ABOVE)?,
        Some(IdText::AutoSequence(ms)) if ms == last.ms => {
            StreamId::new(ms, last.seq.checked_add(1).ok_or(TOO_LARGE)?)
        }
        Some(IdText::AutoSequence(ms) | IdText::Time(ms)) => StreamId::new(ms, 0),
        Some(IdText::Full(id)) => id,
    };
    if id <= last {
        return Err(NOT_ABOVE);
    }
    Ok(id)
}

fn xadd(context: &mut Context<'_, '_>) -> CommandResult {
    let (args, key) = (context.args, context.args[1]);
    let options = Options::parse(context, true)?;
    let wanted = match args.get(options.end) {
        None | Some(&b"*") => None,
        Some(word) => Some(new_id(word)?),
    };
    let trim = options.trim(context, true)?;
    let fields = args.get(options.end + 1..).unwrap_or_default();
    if fields.is_empty() || fields.len() % 2 != 0 {
        return Err(CommandError::WrongArity("xadd".to_owned()));
    }
    if wanted.and_then(|id| id.or_sequence(0)) == Some(StreamId::MIN) {
        return Err(CommandError::text(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    let (now_ms, limits) = (context.txn.now_ms(), context.txn.limits());
    let last = match context.txn.stream_mut(key)? {
        None if options.no_make => {
            context.reply.null();
            return Ok(Outcome::Done);
        }
        stream => stream.map_or(StreamId::MIN, |stream| stream.state().last_id),
    };
    let id = next_id(last, wanted, now_ms)?;
    if fields.iter().map(|word| word.len()).sum::<usize>() > MAX_ENTRY_BYTES {
        return Err(TOO_LARGE);
    }
    let stream = context.txn.stream_or_new(key)?;
    stream.add(id, fields, &limits.stream);
    let trimmed = trim.map_or(0, |trim| stream.trim(&trim));
    let threshold = options.exact_threshold(stream);
    context.txn.changed(EventClass::STREAM, "xadd", key);
    if trimmed > 0 {
        context.txn.notify(EventClass::STREAM, "xtrim", key);
    }
    let given = matches!(wanted, Some(IdText::Full(_) | IdText::Time(_)));
    let id_text = id.to_text();
    let mut words = options.exact_words(args, &threshold);
    if !given && let Some(word) = words.get_mut(options.end) {
        *word = &id_text;
    }
    context.txn.propagate(&words);
    bulk_id(context.reply, id);
    Ok(Outcome::Done)
}

fn xtrim(context: &mut Context<'_, '_>) -> CommandResult {
    let (args, key) = (context.args, context.args[1]);
    let options = Options::parse(context, false)?;
    let trim = options.trim(context, false)?;
    let (Some(stream), Some(trim)) = (context.txn.stream_mut(key)?, trim) else {
        context.reply.int(0);
        return Ok(Outcome::Done);
    };
    let trimmed = stream.trim(&trim);
    if trimmed > 0 {
        let threshold = options.exact_threshold(stream);
        context
            .txn
            .changed_unawaited(EventClass::STREAM, "xtrim", key);
        context.txn.add_dirty(trimmed as u64 - 1);
        context
            .txn
            .propagate(&options.exact_words(args, &threshold));
    }
    context.reply.int(trimmed as i64);
    Ok(Outcome::Done)
}
