//! Places in sorted sets: a member's score is the geohash of its place. It knows the words and the replies; what a
//! geohash is and which ranges cover an area is [`crate::value::geohash`]'s.

use smallvec::SmallVec;

use super::sorted_sets::{store, zadd};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, key_range, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Entry, Txn, ValueRef};
use crate::reply::Reply;
use crate::value::geohash::{self, Area, Place, Shape};
use crate::value::lossless;
use crate::value::number::{format_fixed, parse_f64, parse_i64};
use crate::value::zset::{ScoreBound, SortedSet, ZSetLimits};

const NO_MEMBER: CommandError = CommandError::text("ERR could not decode requested zset member");
const NO_UNIT: CommandError =
    CommandError::text("ERR unsupported unit provided. please use M, KM, FT, MI");

/// The key behind a word that stands at `from` or later.
const fn stored(word: &'static str, from: i32) -> KeySpec {
    KeySpec {
        flags: "OW update",
        notes: "",
        begin: Begin::Keyword(word, from),
        find: Find::Range {
            last: 0,
            step: 1,
            limit: 0,
        },
    }
}

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 condition:oneof?@6.2.0{nx:pure-token=NX xx:pure-token=XX} change:pure-token=CH?@6.2.0 longitude_latitude_member:block*{longitude:double latitude:double member:string}",
        acl: "write geo slow",
        keys: &[one_key("RW update")],
        group: "geo",
        since: "3.2.0",
        summary: "Add one or more geospatial items in the geospatial index represented using a sorted set",
        complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        history: &[("6.2.0", "Added the `CH`, `NX` and `XX` options.")],
        ..CommandSpec::new("geoadd", -5, Flags::WRITE.and(Flags::DENYOOM), geoadd)
    },
    CommandSpec {
        arguments: "key:key#0 member1:string member2:string unit:oneof?{m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI}",
        acl: "read geo slow",
        keys: &[one_key("RO access")],
        group: "geo",
        since: "3.2.0",
        summary: "Returns the distance between two members of a geospatial index",
        complexity: "O(log(N))",
        ..CommandSpec::new("geodist", -4, Flags::READONLY, geodist)
    },
    CommandSpec {
        arguments: "key:key#0 member:string*",
        acl: "read geo slow",
        keys: &[one_key("RO access")],
        group: "geo",
        since: "3.2.0",
        summary: "Returns members of a geospatial index as standard geohash strings",
        complexity: "O(log(N)) for each member requested, where N is the number of elements in the sorted set.",
        ..CommandSpec::new("geohash", -2, Flags::READONLY, geohash)
    },
    CommandSpec {
        arguments: "key:key#0 member:string*",
        acl: "read geo slow",
        keys: &[one_key("RO access")],
        group: "geo",
        since: "3.2.0",
        summary: "Returns longitude and latitude of members of a geospatial index",
        complexity: "O(N) where N is the number of members requested.",
        ..CommandSpec::new("geopos", -2, Flags::READONLY, geopos)
    },
    CommandSpec {
        arguments: "key:key#0 longitude:double latitude:double radius:double unit:oneof{m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI} withcoord:pure-token=WITHCOORD? withdist:pure-token=WITHDIST? withhash:pure-token=WITHHASH? count:block?{count:integer=COUNT any:pure-token=ANY?@6.2.0} order:oneof?{asc:pure-token=ASC desc:pure-token=DESC} key:key#1=STORE? key:key#2=STOREDIST?",
        acl: "write geo slow",
        keys: &[
            one_key("RO access"),
            stored("STORE", 6),
            stored("STOREDIST", 6),
        ],
        find_keys: Some(find_keys),
        group: "geo",
        since: "3.2.0",
        summary: "Query a sorted set representing a geospatial index to fetch members matching a given maximum distance from a point",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        history: &[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        )),
        ..CommandSpec::new(
            "georadius",
            -6,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
            georadius,
        )
    },
    CommandSpec {
        arguments: "key:key#0 longitude:double latitude:double radius:double unit:oneof{m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI} withcoord:pure-token=WITHCOORD? withdist:pure-token=WITHDIST? withhash:pure-token=WITHHASH? count:block?{count:integer=COUNT any:pure-token=ANY?@6.2.0} order:oneof?{asc:pure-token=ASC desc:pure-token=DESC}",
        acl: "read geo slow",
        keys: &[one_key("RO access")],
        group: "geo",
        since: "3.2.10",
        summary: "A read-only variant for GEORADIUS",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        history: &[("6.2.0", "Added the `ANY` option for `COUNT`.")],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        ..CommandSpec::new("georadius_ro", -6, Flags::READONLY, georadius_ro)
    },
    CommandSpec {
        arguments: "key:key#0 member:string radius:double unit:oneof{m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI} withcoord:pure-token=WITHCOORD? withdist:pure-token=WITHDIST? withhash:pure-token=WITHHASH? count:block?{count:integer=COUNT any:pure-token=ANY?} order:oneof?{asc:pure-token=ASC desc:pure-token=DESC} key:key#1=STORE? key:key#2=STOREDIST?",
        acl: "write geo slow",
        keys: &[
            one_key("RO access"),
            stored("STORE", 5),
            stored("STOREDIST", 5),
        ],
        find_keys: Some(find_keys),
        group: "geo",
        since: "3.2.0",
        summary: "Query a sorted set representing a geospatial index to fetch members matching a given maximum distance from a member",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        history: &[("7.0.0", "Added support for uppercase unit names.")],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
        ..CommandSpec::new(
            "georadiusbymember",
            -5,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
            georadiusbymember,
        )
    },
    CommandSpec {
        arguments: "key:key#0 member:string radius:double unit:oneof{m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI} withcoord:pure-token=WITHCOORD? withdist:pure-token=WITHDIST? withhash:pure-token=WITHHASH? count:block?{count:integer=COUNT any:pure-token=ANY?} order:oneof?{asc:pure-token=ASC desc:pure-token=DESC}",
        acl: "read geo slow",
        keys: &[one_key("RO access")],
        group: "geo",
        since: "3.2.10",
        summary: "A read-only variant for GEORADIUSBYMEMBER",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
        ..CommandSpec::new(
            "georadiusbymember_ro",
            -5,
            Flags::READONLY,
            georadiusbymember_ro,
        )
    },
    CommandSpec {
        arguments: "key:key#0 from:oneof{member:string=FROMMEMBER longitude_latitude:block=FROMLONLAT{longitude:double latitude:double}} by:oneof{circle:block{radius:double=BYRADIUS unit:oneof{m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI}} box:block{width:double=BYBOX height:double unit:oneof{m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI}}} order:oneof?{asc:pure-token=ASC desc:pure-token=DESC} count:block?{count:integer=COUNT any:pure-token=ANY?} withcoord:pure-token=WITHCOORD? withdist:pure-token=WITHDIST? withhash:pure-token=WITHHASH?",
        acl: "read geo slow",
        keys: &[one_key("RO access")],
        group: "geo",
        since: "6.2.0",
        summary: "Query a sorted set representing a geospatial index to fetch members inside an area of a box or a circle.",
        complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
        history: &[("7.0.0", "Added support for uppercase unit names.")],
        ..CommandSpec::new("geosearch", -7, Flags::READONLY, geosearch)
    },
    CommandSpec {
        arguments: "destination:key#0 source:key#1 from:oneof{member:string=FROMMEMBER longitude_latitude:block=FROMLONLAT{longitude:double latitude:double}} by:oneof{circle:block{radius:double=BYRADIUS unit:oneof{m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI}} box:block{width:double=BYBOX height:double unit:oneof{m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI}}} order:oneof?{asc:pure-token=ASC desc:pure-token=DESC} count:block?{count:integer=COUNT any:pure-token=ANY?} storedist:pure-token=STOREDIST?",
        acl: "write geo slow",
        keys: &[one_key("OW update"), key_range("RO access", 2, 0, 1)],
        group: "geo",
        since: "6.2.0",
        summary: "Query a sorted set representing a geospatial index to fetch members inside an area of a box or a circle, and store the result in another key.",
        complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
        history: &[("7.0.0", "Added support for uppercase unit names.")],
        ..CommandSpec::new(
            "geosearchstore",
            -8,
            Flags::WRITE.and(Flags::DENYOOM),
            geosearchstore,
        )
    },
];

/// The key that is searched, and every word that a STORE may name: only the last one counts, which is not known yet.
fn find_keys(args: &[&[u8]], visit: &mut dyn FnMut(usize, &'static str)) -> bool {
    visit(1, "RO access");
    for (at, word) in args.iter().enumerate().skip(4) {
        let stores = word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist");
        if stores && at + 1 < args.len() {
            visit(at + 1, "OW update");
        }
    }
    false
}

// ------------------------------------------------------------------------------------------------ words

/// Metres in a unit.
fn parse_unit(word: &[u8]) -> Result<f64, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(NO_UNIT),
    }
}

/// A longitude and a latitude, and their geohash.
fn parse_place(longitude: &[u8], latitude: &[u8]) -> Result<(Place, u64), CommandError> {
    let place = Place {
        longitude: parse_f64(longitude).ok_or(CommandError::NotFloat)?,
        latitude: parse_f64(latitude).ok_or(CommandError::NotFloat)?,
    };
    let outside = || {
        let (longitude, latitude) = (place.longitude, place.latitude);
        format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")
    };
    let hash = geohash::encode(place).ok_or_else(outside)?;
    Ok((place, hash))
}

fn parse_circle(radius: &[u8], unit: &[u8]) -> Result<(Shape, f64), CommandError> {
    let radius = parse_f64(radius).ok_or(CommandError::text("ERR need numeric radius"))?;
    if radius < 0.0 {
        return Err(CommandError::text("ERR radius cannot be negative"));
    }
    Ok((Shape::Circle { radius }, parse_unit(unit)?))
}

fn parse_rectangle(width: &[u8], height: &[u8], unit: &[u8]) -> Result<(Shape, f64), CommandError> {
    let width = parse_f64(width).ok_or(CommandError::text("ERR need numeric width"))?;
    let height = parse_f64(height).ok_or(CommandError::text("ERR need numeric height"))?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::text("ERR height or width cannot be negative"));
    }
    Ok((Shape::Rectangle { width, height }, parse_unit(unit)?))
}

/// The place that a score stands for.
fn place_of(score: f64) -> Place {
    // What is no geohash is converted as the processor does it.
    let hash = if score < i64::MAX as f64 {
        score as i64 as u64
    } else if score < u64::MAX as f64 {
        score as u64
    } else {
        0
    };
    geohash::decode(hash)
}

// ------------------------------------------------------------------------------------------------ single places

fn geoadd(context: &mut Context<'_, '_>) -> CommandResult {
    let is_option = |word: &&&[u8]| {
        [&b"nx"[..], b"xx", b"ch"]
            .iter()
            .any(|option| word.eq_ignore_ascii_case(option))
    };
    let (head, rest) = context.args.split_at(2);
    let (options, triples) = rest.split_at(rest.iter().take_while(is_option).count());
    let has = |option: &[u8]| options.iter().any(|word| word.eq_ignore_ascii_case(option));
    if triples.len() % 3 != 0 || (has(b"nx") && has(b"xx")) {
        return Err(CommandError::Syntax);
    }
    let mut scores: SmallVec<[itoa::Buffer; 4]> = SmallVec::new();
    let mut hashes: SmallVec<[u64; 4]> = SmallVec::new();
    for triple in triples.chunks_exact(3) {
        hashes.push(parse_place(triple[0], triple[1])?.1);
        scores.push(itoa::Buffer::new());
    }
    let mut words: SmallVec<[&[u8]; 16]> = SmallVec::new();
    words.extend_from_slice(&[b"zadd", head[1]]);
    words.extend_from_slice(options);
    for ((triple, hash), score) in triples.chunks_exact(3).zip(hashes).zip(&mut scores) {
        words.extend_from_slice(&[score.format(hash).as_bytes(), triple[2]]);
    }
    let dirty = context.txn.journal.dirty;
    let outcome = zadd(&mut Context {
        txn: &mut *context.txn,
        args: &words,
        reply: &mut *context.reply,
        session: &mut *context.session,
        services: context.services,
        command: context.command,
        mode: context.mode,
    })?;
    if context.txn.journal.dirty != dirty {
        context.txn.propagate(&words);
    }
    Ok(outcome)
}

fn write_place(reply: &mut dyn Reply, place: Place) {
    reply.array(2);
    reply.plain_double(place.longitude);
    reply.plain_double(place.latitude);
}

fn write_distance(reply: &mut dyn Reply, distance: f64) {
    reply.bulk(format_fixed(distance, 4).as_bytes());
}

fn geopos(context: &mut Context<'_, '_>) -> CommandResult {
    let set = context.txn.sorted_set(context.args[1])?;
    let members = &context.args[2..];
    context.reply.array(members.len());
    for member in members {
        match set.and_then(|set| set.score(member)) {
            Some(score) => write_place(context.reply, place_of(score)),
            None => context.reply.null_array(),
        }
    }
    Ok(Outcome::Done)
}

fn geohash(context: &mut Context<'_, '_>) -> CommandResult {
    let set = context.txn.sorted_set(context.args[1])?;
    let members = &context.args[2..];
    context.reply.array(members.len());
    for member in members {
        match set.and_then(|set| set.score(member)) {
            Some(score) => {
                let text = geohash::standard_text(place_of(score));
                context.reply.bulk(&text);
            }
            None => context.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

fn geodist(context: &mut Context<'_, '_>) -> CommandResult {
    let unit_m = match *context.args {
        [_, _, _, _] => 1.0,
        [_, _, _, _, unit] => parse_unit(unit)?,
        _ => return Err(CommandError::Syntax),
    };
    let set = context.txn.sorted_set(context.args[1])?;
    let place = |at: usize| {
        let score = set.and_then(|set| set.score(context.args[at]));
        score.map(place_of)
    };
    match (place(2), place(3)) {
        (Some(one), Some(other)) => {
            write_distance(context.reply, geohash::distance(one, other) / unit_m);
        }
        _ => context.reply.null(),
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ the words of a search

/// Which command searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// GEORADIUS, GEORADIUSBYMEMBER: the area stands first.
    Radius { may_store: bool },
    /// GEOSEARCH.
    Search,
    /// GEOSEARCHSTORE.
    SearchStore,
}

/// What a search is told, besides the area.
#[derive(Debug, Default)]
struct Options<'a> {
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    /// Most members that are wanted.
    count: Option<usize>,
    /// Any so many, instead of the nearest.
    any: bool,
    /// `true`: nearest first; `false`: farthest first.
    nearest_first: Option<bool>,
    store: Option<&'a [u8]>,
    store_distance: bool,
}

/// A search as its words are read.
#[derive(Debug)]
struct Query<'a> {
    dialect: Dialect,
    source: &'a [u8],
    /// Whether there is a key to search.
    exists: bool,
    centre: Option<Place>,
    /// Whether the middle was named by member, or by place.
    from_member: bool,
    from_place: bool,
    /// The shape, and metres in its unit.
    shape: Option<(Shape, f64)>,
    options: Options<'a>,
}

impl<'a> Query<'a> {
    fn new(txn: &mut Txn<'_>, source: &'a [u8], dialect: Dialect) -> Result<Self, CommandError> {
        Ok(Self {
            dialect,
            source,
            exists: txn.sorted_set(source)?.is_some(),
            centre: None,
            from_member: false,
            from_place: false,
            shape: None,
            options: Options::default(),
        })
    }

    fn centre_at(&mut self, longitude: &[u8], latitude: &[u8]) -> Result<(), CommandError> {
        self.centre = Some(parse_place(longitude, latitude)?.0);
        self.from_place = true;
        Ok(())
    }

    fn centre_at_member(&mut self, txn: &Txn<'_>, member: &[u8]) -> Result<(), CommandError> {
        self.from_member = true;
        // Where there is no key, nothing is looked for.
        if self.exists {
            let set = txn.peek(self.source).map(Entry::value);
            let score = match set {
                Some(ValueRef::SortedSet(set)) => set.score(member),
                _ => None,
            };
            self.centre = Some(score.map(place_of).ok_or(NO_MEMBER)?);
        }
        Ok(())
    }

    /// Reads the option that begins the words, and answers how many of them it takes.
    fn option(&mut self, txn: &Txn<'_>, words: &[&'a [u8]]) -> Result<usize, CommandError> {
        let is = |option: &[u8]| words[0].eq_ignore_ascii_case(option);
        let options = &mut self.options;
        match *words {
            _ if is(b"withdist") => options.with_distance = true,
            _ if is(b"withhash") => options.with_hash = true,
            _ if is(b"withcoord") => options.with_place = true,
            _ if is(b"any") => options.any = true,
            _ if is(b"asc") => options.nearest_first = Some(true),
            _ if is(b"desc") => options.nearest_first = Some(false),
            [_, count, ..] if is(b"count") => {
                let count = parse_i64(count).ok_or(CommandError::NotInteger)?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0);
                options.count = Some(count.ok_or(CommandError::text("ERR COUNT must be > 0"))?);
                return Ok(2);
            }
            _ => {
                return match self.dialect {
                    Dialect::Radius { may_store: true } => self.store_option(words),
                    Dialect::Radius { may_store: false } => Err(CommandError::Syntax),
                    Dialect::Search | Dialect::SearchStore => self.search_option(txn, words),
                };
            }
        }
        Ok(1)
    }

    fn store_option(&mut self, words: &[&'a [u8]]) -> Result<usize, CommandError> {
        let is = |option: &[u8]| words[0].eq_ignore_ascii_case(option);
        match *words {
            [_, key, ..] if is(b"store") || is(b"storedist") => {
                self.options.store = Some(key);
                self.options.store_distance = is(b"storedist");
                Ok(2)
            }
            _ => Err(CommandError::Syntax),
        }
    }

    fn search_option(&mut self, txn: &Txn<'_>, words: &[&[u8]]) -> Result<usize, CommandError> {
        let is_shaped = |circle: bool| match self.shape {
            Some((shape, _)) => matches!(shape, Shape::Circle { .. }) == circle,
            None => true,
        };
        let is = |option: &[u8]| words[0].eq_ignore_ascii_case(option);
        match *words {
            _ if is(b"storedist") && self.dialect == Dialect::SearchStore => {
                self.options.store_distance = true;
                Ok(1)
            }
            [_, member, ..] if is(b"frommember") && !self.from_place => {
                self.centre_at_member(txn, member).map(|()| 2)
            }
            [_, longitude, latitude, ..] if is(b"fromlonlat") && !self.from_member => {
                self.centre_at(longitude, latitude).map(|()| 3)
            }
            [_, radius, unit, ..] if is(b"byradius") && is_shaped(true) => {
                self.shape = Some(parse_circle(radius, unit)?);
                Ok(3)
            }
            [_, width, height, unit, ..] if is(b"bybox") && is_shaped(false) => {
                self.shape = Some(parse_rectangle(width, height, unit)?);
                Ok(4)
            }
            _ => Err(CommandError::Syntax),
        }
    }

    /// What must go together, and what must not.
    fn check(&self, name: &[u8]) -> Result<(), CommandError> {
        let options = &self.options;
        let shows = options.with_distance || options.with_hash || options.with_place;
        if options.store.is_some() && shows {
            let what = match self.dialect {
                Dialect::SearchStore => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            let options = "WITHDIST, WITHHASH and WITHCOORD options";
            return Err(format!("ERR {what} is not compatible with {options}").into());
        }
        let missing = match self.shape {
            _ if !self.from_member && !self.from_place => {
                "exactly one of FROMMEMBER or FROMLONLAT can be specified for"
            }
            None => "exactly one of BYRADIUS and BYBOX can be specified for",
            Some(_) if options.any && options.count.is_none() => {
                let text = "ERR the ANY argument requires COUNT argument";
                return Err(CommandError::text(text));
            }
            Some(_) => return Ok(()),
        };
        let name = lossless::text(name);
        Err(format!("ERR {missing} {name}").into())
    }

    /// Reads the options and runs the search.
    fn run(mut self, context: &mut Context<'_, '_>, words: &[&'a [u8]]) -> CommandResult {
        let mut rest = words;
        while !rest.is_empty() {
            let used = self.option(context.txn, rest)?;
            rest = rest.get(used..).unwrap_or_default();
        }
        self.check(context.args[0])?;
        let mut found = self.found(context.txn);
        let options = &self.options;
        sort(&mut found, options);
        let Some(key) = options.store else {
            answer(context.reply, &found, options);
            return Ok(Outcome::Done);
        };
        let limits = context.txn.limits().sorted_set;
        let set = sorted_set_of(found, &limits, options.store_distance);
        let event = match self.dialect {
            Dialect::Radius { .. } => "georadiusstore",
            Dialect::Search | Dialect::SearchStore => "geosearchstore",
        };
        let len = store(context.txn, key, set, event);
        context.txn.add_dirty(len.saturating_sub(1) as u64);
        context.reply.int(len as i64);
        Ok(Outcome::Done)
    }

    fn found(&self, txn: &Txn<'_>) -> Vec<Found> {
        let set = txn.peek(self.source).map(Entry::value);
        match (set, self.centre, self.shape) {
            (Some(ValueRef::SortedSet(set)), Some(centre), Some((shape, unit_m))) => {
                let area = Area {
                    centre,
                    shape,
                    unit_m,
                };
                let limit = self.options.count.filter(|_| self.options.any);
                search(set, &area, limit)
            }
            _ => Vec::new(),
        }
    }
}

// ------------------------------------------------------------------------------------------------ searching

/// A member that was found.
#[derive(Debug)]
struct Found {
    member: Vec<u8>,
    score: f64,
    place: Place,
    /// In units of the area.
    distance: f64,
}

/// The members in an area, in the order of the cells that cover it and of their scores within; at most `limit`.
fn search(set: &SortedSet, area: &Area, limit: Option<usize>) -> Vec<Found> {
    let mut found = Vec::new();
    let limit = limit.unwrap_or(usize::MAX);
    for hashes in area.ranges() {
        let bound = |hash: u64, exclusive| ScoreBound {
            value: hash as f64,
            exclusive,
        };
        let ranks = set.score_range(bound(hashes.start, false), bound(hashes.end, true));
        for (member, score) in set.range(ranks) {
            if found.len() >= limit {
                return found;
            }
            let place = place_of(score);
            if let Some(distance) = area.distance_within(place) {
                found.push(Found {
                    member: member.to_vec(),
                    score,
                    place,
                    distance: distance / area.unit_m,
                });
            }
        }
    }
    found
}

fn sort(found: &mut Vec<Found>, options: &Options<'_>) {
    let implied = options.count.is_some() && !options.any;
    let nearest_first = options.nearest_first.or(implied.then_some(true));
    if let Some(nearest_first) = nearest_first {
        found.sort_by(|one, other| {
            let order = one.distance.total_cmp(&other.distance);
            if nearest_first {
                order
            } else {
                order.reverse()
            }
        });
    }
    found.truncate(options.count.unwrap_or(usize::MAX));
}

fn answer(reply: &mut dyn Reply, found: &[Found], options: &Options<'_>) {
    let shown = [options.with_distance, options.with_hash, options.with_place];
    let shown = shown.iter().filter(|shown| **shown).count();
    reply.array(found.len());
    for found in found {
        if shown > 0 {
            reply.array(shown + 1);
        }
        reply.bulk(&found.member);
        if options.with_distance {
            write_distance(reply, found.distance);
        }
        if options.with_hash {
            reply.int(found.score as i64);
        }
        if options.with_place {
            write_place(reply, found.place);
        }
    }
}

fn sorted_set_of(found: Vec<Found>, limits: &ZSetLimits, of_distances: bool) -> SortedSet {
    let small = found.len() <= limits.max_listpack_entries;
    let fits = |found: &Found| found.member.len() <= limits.max_listpack_value;
    let limits = ZSetLimits {
        max_listpack_entries: if small && found.iter().all(fits) {
            limits.max_listpack_entries
        } else {
            0
        },
        ..*limits
    };
    let mut set = SortedSet::new();
    for found in found {
        let score = if of_distances {
            found.distance
        } else {
            found.score
        };
        set.insert(&found.member, score, &limits);
    }
    set
}

// ------------------------------------------------------------------------------------------------ handlers

fn by_place(context: &mut Context<'_, '_>, may_store: bool) -> CommandResult {
    let args = context.args;
    let mut query = Query::new(context.txn, args[1], Dialect::Radius { may_store })?;
    query.centre_at(args[2], args[3])?;
    query.shape = Some(parse_circle(args[4], args[5])?);
    query.run(context, &args[6..])
}

fn georadius(context: &mut Context<'_, '_>) -> CommandResult {
    by_place(context, true)
}

fn georadius_ro(context: &mut Context<'_, '_>) -> CommandResult {
    by_place(context, false)
}

fn by_member(context: &mut Context<'_, '_>, may_store: bool) -> CommandResult {
    let args = context.args;
    let mut query = Query::new(context.txn, args[1], Dialect::Radius { may_store })?;
    query.centre_at_member(context.txn, args[2])?;
    // Where there is no key, the distance is not judged.
    query.shape = Some(if query.exists {
        parse_circle(args[3], args[4])?
    } else {
        (Shape::Circle { radius: 0.0 }, 1.0)
    });
    query.run(context, &args[5..])
}

fn georadiusbymember(context: &mut Context<'_, '_>) -> CommandResult {
    by_member(context, true)
}

fn georadiusbymember_ro(context: &mut Context<'_, '_>) -> CommandResult {
    by_member(context, false)
}

fn geosearch(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let query = Query::new(context.txn, args[1], Dialect::Search)?;
    query.run(context, &args[2..])
}

fn geosearchstore(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let mut query = Query::new(context.txn, args[2], Dialect::SearchStore)?;
    query.options.store = Some(args[1]);
    query.run(context, &args[3..])
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("geo/transcript.txt"));
    }
}
